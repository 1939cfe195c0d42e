"""The task moments on made-up features: it learns, goes on, cuts long videos, and refuses other extractors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.moments import evaluate_moments
from features.errors import HeedError
from heed import main
from tests.training.stopping import stopping
from training.attention.mask_config import MaskConfig
from training.config import LoopConfig
from training.loop import train
from training.models.detr_config import DetrConfig
from training.models.moment_detr import Found
from training.models.spans import to_centres
from training.run import Run
from training.tasks.moment_answers import Answer, merged, truth_rows
from training.tasks.moment_targets import draw_pairs, targets_of
from training.tasks.moments import MomentsConfig

KINDS = ("jump", "spin", "blink")
CLIPS = 8
SMALL = DetrConfig(dim=32, heads=4, feedforward=32, input_dropout=0.0, dropout=0.0, queries=4, max_clips=CLIPS)


def write_videos(root: Path, split: str, videos: int, clips: int, draw: np.random.Generator, first: int = 0) -> None:
    """Videos in which each kind happens once, for 2 to 4 clips; a clip's feature says what happens in it."""
    (root / "features").mkdir(exist_ok=True)
    lines = []
    for number in range(first, first + videos):
        features = 0.05 * draw.normal(size=(clips, 4)).astype(np.float32)
        features[:, 3] += 1
        for kind, name in enumerate(KINDS):
            length = int(draw.integers(2, 5))
            start = int(draw.integers(0, clips - length + 1))
            features[start:start + length, kind] += 1
            ids = list(range(start, start + length))
            lines.append({
                "qid": 10 * number + kind, "query": f"things {name}", "vid": f"v{number}", "duration": 2 * clips,
                "relevant_windows": [[2 * start, 2 * (start + length)]], "relevant_clip_ids": ids,
                "saliency_scores": [[4, 3, 2 + (i == start)] for i in ids]})
        np.savez(root / "features" / f"v{number}.npz", features=features)
    (root / f"highlight_{split}_release.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    root, draw = tmp_path_factory.mktemp("moments"), np.random.default_rng(0)
    write_videos(root, "train", 32, CLIPS, draw)
    write_videos(root, "val", 8, CLIPS, draw, 100)
    write_videos(root, "test", 8, 21, draw, 200)
    main(["import", "qvhighlights-npz", str(root / "features"), str(root / "store"), "--dtype", "float32"])
    return root


def config(data: Path, out: Path, **options) -> MomentsConfig:
    loop = LoopConfig(epochs=2, batch_size=16, lr=3e-3, optimiser="adamw", clip=0.1, device="cpu", checkpoint_every=2)
    made = MomentsConfig((data / "store",), data, out, model=SMALL, loop=loop)
    return replace(made, **options)


@pytest.mark.parametrize("name", ["moment-detr", "qd-detr"])
def test_training_stopped_and_gone_on_with_has_the_weights_of_one_never_stopped(data, tmp_path, name) -> None:
    weights = {}
    model = replace(SMALL, name=name, dropout=0.1)
    for kind in ("whole", "cut"):
        cfg = config(data, tmp_path / kind, model=model, mask=MaskConfig("lam-multi", sparsity=0.01))
        run = Run.begin(cfg.out, "moments", cfg, {})
        if kind == "cut":
            with pytest.raises(KeyboardInterrupt):
                train(stopping(cfg.build(), 9), cfg.loop, run)
        train(cfg.build(), cfg.loop, run)
        weights[kind] = torch.load(run.checkpoints / "last.pt", weights_only=True)["model"]
    for key, value in weights["whole"].items():
        assert torch.equal(value, weights["cut"][key]), key


def test_the_commands_learn_find_show_masks_and_refuse_other_features(data, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    words = ["train", "moments", "--video", str(data / "store"), "--moments", str(data), "--out", str(out),
             "--epochs", "40", "--batch-size", "16", "--lr", "3e-3", "--mask.mask", "lam-multi", "--model.dim", "32",
             "--model.heads", "4", "--model.feedforward", "64", "--model.input-dropout", "0", "--model.dropout", "0",
             "--model.max-clips", str(CLIPS), "--device", "cpu", "--validate-every", "20"]
    assert main(words) == 0
    # The test videos are more than twice as long as anything the model can see at once.
    found = json.loads((out / "evaluation" / "test.json").read_text())
    # So short a training ends above 90 or, by how a processor rounds, between 30 and 40.
    assert found["queries"] == 24 and found["official"]["brief"]["MR-full-R1@0.5"] > 25
    assert found["official"]["brief"]["HL-min-VeryGood-Hit1"] > 70
    rows = [json.loads(line) for line in (out / "predictions" / "test.jsonl").read_text().splitlines()]
    assert {len(row["pred_saliency_scores"]) for row in rows} == {21}
    for row in rows:
        scores = [window[2] for window in row["pred_relevant_windows"]]
        assert scores == sorted(scores, reverse=True) and 0 < len(scores) <= 10
        assert all(edge % 2 == 0 and 0 <= edge <= 42 for window in row["pred_relevant_windows"] for edge in window[:2])
    again = tmp_path / "again.jsonl"
    # On the CPU, as the training: another device rounds otherwise, and the files are compared byte for byte.
    find = ["find", "moments", str(out), "--moments", str(data), "--split", "test", "--out", str(again), "--device",
            "cpu"]
    assert main([*find, "--video", str(data / "store")]) == 0
    assert again.read_bytes() == (out / "predictions" / "test.jsonl").read_bytes()
    assert main(["evaluate", "moments", "--predictions", str(again), "--truth",
                 str(tmp_path / "again.truth.jsonl")]) == 0
    assert main(["masks", str(out), "--out", str(tmp_path / "masks.npz"), "--samples", "2"]) == 0
    with np.load(tmp_path / "masks.npz") as maps:
        layers = {name.split("/")[1] for name in maps.files}
        assert layers == {f"transformer.encoder.layers.{i}.self_attn" for i in range(2)}
        for name in (name for name in maps.files if name.endswith("/weights")):
            assert np.allclose(maps[name].sum(-1), 1, atol=1e-5)
            without, moved = (maps[name.replace("weights", kind)] for kind in ("without", "moved"))
            assert np.allclose(np.abs(maps[name] - without).sum(-1) / 2, moved, atol=1e-6) and moved.max() > 0.01
    with np.load(data / "features" / "v0.npz") as file:
        other = np.concatenate([file["features"], file["features"]], 1)
    (tmp_path / "wide").mkdir()
    np.savez(tmp_path / "wide" / "v0.npz", features=other)
    main(["import", "qvhighlights-npz", str(tmp_path / "wide"), str(tmp_path / "wide-store")])
    capsys.readouterr()
    assert main([*find, "--video", str(tmp_path / "wide-store")]) == 2
    assert "were not made by the extractor" in capsys.readouterr().err


def oracle(batch) -> Found:
    """A model that knows the windows."""
    most = max(1, max(map(len, batch.windows)))
    spans, logits = torch.zeros(len(batch.moments), most, 2), torch.zeros(len(batch.moments), most, 2)
    logits[..., 1] = 10
    for row, windows in enumerate(batch.windows):
        spans[row, : len(windows)] = to_centres(torch.from_numpy(windows))
        seconds = torch.from_numpy(windows[:, 1] - windows[:, 0]) * float(batch.seconds[row])
        logits[row, : len(windows), 0] = 10 + seconds / 4  # a longer part of a window is better
    return Found(spans, logits, torch.from_numpy(batch.inside).float())


def test_pieces_of_a_long_video_put_together_give_the_truth_back(data, tmp_path) -> None:
    task = config(data, tmp_path).build()
    moments = task.config.truth("test")
    stream = task._stream(moments, 7, None)
    spans = sorted({piece.span for piece in stream.samples})
    assert spans == [(0, 8), (4, 12), (8, 16), (12, 20), (13, 21)]
    answers = []
    for batch in stream.epoch(0).batches():
        made = task._batch(batch)
        assert made.clips.tolist() == [8] * len(made.clips)
        assert np.allclose(made.starts, [2 * piece.span[0] for piece in made.moments])
        answers += Answer.of(made, oracle(made), False)
    rows = merged(answers, True)
    found = evaluate_moments(rows, truth_rows(moments, {row["qid"]: row for row in rows}), resamples=0)["official"]
    assert found["brief"]["MR-full-R1@0.7"] == 100 and found["brief"]["HL-min-Fair-mAP"] == 100
    assert found["brief"]["MR-full-mAP"] > 95  # windows that a piece cuts may come before the whole one


def test_spans_come_back_as_they_went_in_and_the_published_mismatch_is_a_switch(tmp_path) -> None:
    (tmp_path / "features").mkdir()
    write_videos(tmp_path, "train", 1, 10, np.random.default_rng(1))
    main(["import", "qvhighlights-npz", str(tmp_path / "features"), str(tmp_path / "store"), "--dtype", "float32"])
    path = tmp_path / "highlight_train_release.jsonl"
    path.write_text(path.read_text().replace('"duration": 20', '"duration": 19'))
    for published in (False, True):
        cfg = config(tmp_path, tmp_path / str(published), published_spans=published, model=replace(SMALL, max_clips=10))
        task = cfg.build()
        made = next(task.batches(0, 0))
        true = targets_of(made, 5, published, "cpu").spans
        logits = torch.zeros(3, 1, 2)
        answers = Answer.of(made, Found(torch.stack(true), logits, torch.zeros(3, 10)), published)
        for answer in answers:
            scale = 19 / 20 if published else 1.0
            assert np.allclose(answer.windows[0, :2], answer.moment.windows[0] * scale, atol=1e-4)


def test_pairs_are_best_against_worst_and_rated_against_unrated(data, tmp_path) -> None:
    task = config(data, tmp_path).build()
    made = next(task.batches(0, 0))
    torch.manual_seed(0)
    for _ in range(20):
        pairs = draw_pairs(made)
        assert pairs.known.all()
        sums = made.saliency.sum(2)
        for row in range(len(made.moments)):
            (best, rated), (worst, unrated) = pairs.better[row].tolist(), pairs.worse[row].tolist()
            assert sums[row, best] == sums[row].max() and sums[row, worst] == sums[row][made.rated[row]].min()
            assert made.rated[row, rated] and not made.rated[row, unrated]
    bare = replace(made, rated=np.zeros_like(made.rated), saliency=np.zeros_like(made.saliency))
    targets = targets_of(bare, 5, False, "cpu")
    inside = torch.from_numpy(made.inside)
    assert inside.gather(1, targets.pairs.better).all() and not inside.gather(1, targets.pairs.worse).any()
    assert torch.equal(targets.ratings, inside.float())


def test_a_text_store_of_another_kind_and_no_video_are_refused(data, tmp_path) -> None:
    with pytest.raises(HeedError, match="No store of clip features"):
        config(data, tmp_path, video=()).build()
    with pytest.raises(HeedError, match="store of clips, and one of tokens is needed"):
        config(data, tmp_path, text=data / "store").build().answers([])
