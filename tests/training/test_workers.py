"""Several workers, as torchrun would start them, against one: forked processes joined by gloo."""

import json
import multiprocessing
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.utils.tensorboard  # before workers are forked, which would each import it
from torch import nn

from features.errors import HeedError
from heed import main
from pipeline.sampler import batch_rows, epoch_order
from tests.training.regression import CONFIG, Regression, run_folder, weights
from tests.training.truth_store import truth_store
from training import workers
from training.loop import train

pytestmark = pytest.mark.timeout(600)
SAMPLES, BATCH = 25, 8


def together(count, work, *arguments):
    """What ``work`` gives in each of ``count`` workers; the first failure, if one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=_as_torchrun, args=(rank, count, port, answers, work, arguments))
                 for rank in range(count)]
    for process in processes:
        process.start()
    given = dict(answers.get(timeout=500) for _ in processes)
    for process in processes:
        process.join(20)
    for value in given.values():
        if isinstance(value, Exception):
            raise value
    return [given[rank] for rank in range(count)]


def _as_torchrun(rank, count, port, answers, work, arguments):
    os.environ.update(TORCHELASTIC_RUN_ID="test", RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank),
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    try:
        answers.put((rank, work(*arguments)))
    except Exception as error:
        answers.put((rank, error))


class Shared(Regression):
    """Without dropout, whose masks several workers draw otherwise; the last batch of an epoch has one sample."""

    steps_per_epoch = -(-SAMPLES // BATCH)

    def __init__(self, stop_at=None):
        super().__init__(stop_at)
        self.model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
        self.unused = self.model.register_parameter("unused", nn.Parameter(torch.ones(3)))
        self.data = torch.randn(SAMPLES, 5, generator=torch.Generator().manual_seed(1))
        self.seen = []

    def batches(self, epoch, first):
        order = epoch_order(SAMPLES, 0, epoch)
        for step in range(first, self.steps_per_epoch):
            rows = batch_rows(order, step, BATCH, workers.rank(), workers.world())
            self.seen.append((epoch, step, rows.tolist()))
            yield self.data[rows]

    def weight(self, batch):
        return len(batch)


class Dropping(Shared):
    def __init__(self, stop_at=None):
        super().__init__(stop_at)
        self.model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def trained(kind, folder, config, stop_at=None):
    with workers.joined(1, "cpu"):
        with workers.first_worker_first():
            run = run_folder(folder, config)
        task = kind(stop_at)
        try:
            train(task, config, run)
        except (KeyboardInterrupt, RuntimeError):  # the one is stopped, and the other sees it gone
            return "stopped"
        return {name: value.tolist() for name, value in task.model.state_dict().items()}, getattr(task, "seen", None)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["split"], line.get("loss", line.get("score", line.get("rsum")))) for line in lines]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_workers_train_as_one_does_with_the_same_global_batch(tmp_path, accumulate):
    config = replace(CONFIG, accumulate=accumulate, weight_decay=0.1, ema=0.9)
    (alone, seen), = [trained(Shared, tmp_path / "1", config)]
    several = together(3, trained, Shared, tmp_path / "3", config)
    for model, _ in several:
        assert model == several[0][0]  # to the last bit: all have stepped alike
        for name, value in alone.items():
            np.testing.assert_allclose(model[name], value, rtol=1e-5, atol=1e-6)
    for place, (epoch, step, rows) in enumerate(seen):
        shares = [worker[1][place] for worker in several]
        assert {share[:2] for share in shares} == {(epoch, step)}
        assert [row for share in shares for row in share[2]] == rows  # each sample once, in the order of one worker
    for one, other in zip(losses(tmp_path / "1"), losses(tmp_path / "3"), strict=True):
        assert one[:2] == other[:2] and one[2] == pytest.approx(other[2], rel=1e-5)
    averages = [weights(run_folder(tmp_path / n, config))["average"]["0.weight"] for n in "13"]
    assert torch.allclose(*averages, atol=1e-6)


def test_workers_stopped_and_gone_on_with_equal_workers_never_stopped_with_dropout_too(tmp_path):
    whole = together(2, trained, Dropping, tmp_path / "whole", CONFIG)
    assert together(2, trained, Dropping, tmp_path / "cut", CONFIG, 7) == ["stopped"] * 2
    cut = together(2, trained, Dropping, tmp_path / "cut", CONFIG)
    assert [model for model, _ in whole] == [model for model, _ in cut]
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (tmp_path / "cut" / "metrics.jsonl").read_bytes()


def test_a_run_goes_on_with_another_number_of_workers(tmp_path):
    assert trained(Shared, tmp_path / "run", CONFIG, 6) == "stopped"
    several = together(2, trained, Shared, tmp_path / "run", CONFIG)
    alone, _ = trained(Shared, tmp_path / "alone", CONFIG)
    for name, value in alone.items():
        np.testing.assert_allclose(several[0][0][name], value, rtol=1e-5, atol=1e-6)


def _exchange(count):
    with workers.joined(count, "cpu"):
        rank = workers.rank()
        x = torch.full((rank, 1 + rank), float(rank + 1), requires_grad=True)  # the first has no rows
        rows = workers.gather_rows(x)
        (rows * torch.arange(rows.numel()).view_as(rows) * (rank + 1)).sum().backward()
        mask = workers.gather_rows(torch.ones(1, 1 + rank, dtype=torch.bool))
        return rows.tolist(), x.grad.tolist(), mask.tolist(), workers.gather_json({"of": rank}), workers.mean_figures(
            {"even": float(rank)} if rank != 1 else {}, rank + 1.0)


def test_rows_of_all_workers_are_gathered_with_their_gradients():
    given = together(3, _exchange, 3)
    for rank, (rows, gradient, mask, told, figures) in enumerate(given):
        assert rows == [[2, 2, 0], [3, 3, 3], [3, 3, 3]]
        weights = 6 * np.arange(9).reshape(3, 3)  # each worker's loss weighs its place by rank + 1: 6 in all
        assert gradient == [[], weights[:1, :2].tolist(), weights[1:, :3].tolist()][rank]
        assert mask == [[True, False, False], [True, True, False], [True, True, True]]
        assert told == [{"of": 0}, {"of": 1}, {"of": 2}]
        assert figures == {"even": pytest.approx((0 * 1 + 2 * 3) / 4)}


def test_a_task_that_cannot_share_is_refused(tmp_path):
    with pytest.raises(HeedError, match="one worker only"):
        together(2, trained, Regression, tmp_path / "run", CONFIG)


def test_torchrun_and_workers_must_not_disagree():
    with pytest.raises(HeedError, match="torchrun has started 2 workers, --workers says 3"):
        together(2, _exchange, 3)


def matching(data, out, *words):
    store, scenes = data
    return main(["train", "matching", "--store", str(store), "--captions", str(scenes), "--out", str(out), "--epochs",
                 "2", "--batch-size", "31", "--lr", "1e-3", "--min-count", "1", "--attention.score", "general",
                 "--model.embed-dim", "16", "--model.word-dim", "8", "--device", "cpu", *words])


def test_matching_with_the_hardest_negatives_of_all_workers_learns_what_one_worker_does(tmp_path):
    """31 does not divide among three, and the last batch of 30 scenes' captions leaves one worker without a sample."""
    data = truth_store(tmp_path, 30)
    assert matching(data, tmp_path / "1") == 0
    assert together(3, matching, data, tmp_path / "3") == [0, 0, 0]
    for one, other in zip(losses(tmp_path / "1"), losses(tmp_path / "3"), strict=True):
        assert one[:2] == other[:2] and one[2] == pytest.approx(other[2], rel=1e-5)
    left, right = (weights(run_folder_of(tmp_path / n)) for n in "13")
    for name, value in left["model"].items():
        assert torch.allclose(value, right["model"][name], atol=1e-5), name
    assert (tmp_path / "3" / "evaluation" / "test.json").exists()


def run_folder_of(path):
    from training.run import Run

    return Run(path)
