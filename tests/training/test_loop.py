import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from features.errors import HeedError
from tests.training.regression import CONFIG, Regression, run_folder, weights
from training.config import LoopConfig
from training.loop import train


@pytest.mark.parametrize("stop_at", [5, 9, 16])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_resumed_weights_equal_uninterrupted_ones_exactly(tmp_path, stop_at, accumulate):
    config = replace(CONFIG, accumulate=accumulate)
    whole, cut = run_folder(tmp_path / "whole", config), run_folder(tmp_path / "cut", config)
    train(Regression(), config, whole)
    with pytest.raises(KeyboardInterrupt):
        train(Regression(stop_at), config, cut)
    resumed = Regression()
    train(resumed, config, cut)
    one, other = weights(whole), weights(cut)
    assert one["step"] == other["step"] == 3 * -(-7 // accumulate)
    for name in one["model"]:
        assert torch.equal(one["model"][name], other["model"][name])
    moments = [checkpoint["optimisers"]["all"]["state"].values() for checkpoint in (one, other)]
    for state, again in zip(*moments, strict=True):
        assert torch.equal(state["exp_avg_sq"], again["exp_avg_sq"])
    assert one["best"] == other["best"] and torch.equal(one["random"][0]["cpu"], other["random"][0]["cpu"])
    assert whole.metrics.read_text() == cut.metrics.read_text()
    assert resumed.taken < 21  # it did not begin again


def test_a_finished_run_is_not_trained_again(tmp_path):
    run = run_folder(tmp_path / "run")
    first = train(Regression(), CONFIG, run)
    again = Regression(stop_at=0)
    assert train(again, CONFIG, run) == first and again.taken == 0


def test_logged_lines_behind_the_checkpoint_are_forgotten(tmp_path):
    run = run_folder(tmp_path / "run")
    for step in (1, 2, 3):
        run.log(step=step, split="train", loss=1.0)
    with run.metrics.open("a") as file:
        file.write('{"step": 2, "spl')
    run.forget_after(2)
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2]


def test_accumulated_gradients_equal_those_of_one_large_batch(tmp_path):
    class Plain(Regression):
        def __init__(self, parts):
            super().__init__()
            self.model = nn.Linear(5, 1)
            nn.init.constant_(self.model.weight, 0.1)
            nn.init.zeros_(self.model.bias)
            self.parts, self.steps_per_epoch = parts, 2 * parts

        def batches(self, epoch, first):
            data = torch.randn(16, 5, generator=torch.Generator().manual_seed(epoch))
            yield from data.split(8 // self.parts)[first:]

    results = []
    for parts in (1, 4):
        config = replace(CONFIG, accumulate=parts)
        run = run_folder(tmp_path / str(parts), config)
        train(Plain(parts), config, run)
        results.append(weights(run)["model"]["weight"])
    assert torch.allclose(*results, atol=1e-6)


def test_early_stopping_and_the_best_checkpoint(tmp_path):
    class Scripted(Regression):
        scores = iter([1.0, 3.0, 2.0, 2.5, 9.0])

        def validate(self):
            return {"score": next(self.scores)}

    config = replace(CONFIG, epochs=5, patience=2)
    run = run_folder(tmp_path / "run", config)
    assert train(Scripted(), config, run) == {"score": 3.0}
    assert weights(run)["step"] == 28
    best = torch.load(run.checkpoints / "best.pt", weights_only=True)
    assert best["step"] == 14 and best["figures"] == {"score": 3.0}


def test_a_diverged_loss_is_told_in_a_sentence(tmp_path):
    class Diverging(Regression):
        def step(self, batch):
            return self.model(batch).sum() * float("nan"), {}

    with pytest.raises(HeedError, match="diverged"):
        train(Diverging(), CONFIG, run_folder(tmp_path / "run"))


def test_a_monitor_the_validation_does_not_give_is_told(tmp_path):
    task = Regression()
    task.monitor = "accuracy"
    with pytest.raises(HeedError, match=r"'accuracy'.*score"):
        train(task, CONFIG, run_folder(tmp_path / "run"))


def test_bf16_is_used_where_asked_and_weights_stay_float32(tmp_path):
    class Watching(Regression):
        def step(self, batch):
            assert self.model(batch).dtype == torch.bfloat16
            return super().step(batch)

    run = run_folder(tmp_path / "run")
    train(Watching(), replace(CONFIG, precision="bf16", epochs=1), run)
    assert all(value.dtype == torch.float32 for value in weights(run)["model"].values())


def test_validation_can_be_rarer_than_epochs_and_always_comes_last(tmp_path):
    run = run_folder(tmp_path / "run")
    train(Regression(), replace(CONFIG, validate_every=2), run)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "val"] == [14, 21]


def test_a_count_below_one_is_told():
    with pytest.raises(HeedError, match="--validate-every is at least 1, not 0"):
        LoopConfig(validate_every=0)
