"""The task captioning on made-up videos: it learns, goes on, is swept, and its predictions are COCO's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.captions import evaluate_captions
from features.errors import HeedError
from heed import main
from tests.training.stopping import stopping
from training.attention.mask_config import MaskConfig
from training.config import LoopConfig
from training.loop import train
from training.models.captioner_config import CaptionerConfig, CaptionWriting
from training.run import Run
from training.tasks.captioning import CaptioningConfig

COLOURS, SHAPES, DEEDS = ("red", "green", "blue"), ("star", "ring"), ("jumps", "spins", "leaves")
SMALL = CaptionerConfig(dim=32, heads=4, feedforward=64, layers=2, dropout=0.0, video_dim=0, max_clips=6,
                        max_tokens=16)


def says(colour: int, shape: int, first: int, then: int) -> list[str]:
    a = f"a {COLOURS[colour]} {SHAPES[shape]}"
    return [f"{a} {DEEDS[first]} and then {DEEDS[then]}", f"{a} {DEEDS[first]} before it {DEEDS[then]}"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """MSR-VTT's layout: videos of 4 to 7 clips in which something happens, then something else."""
    torch.set_num_threads(1)
    root, draw = tmp_path_factory.mktemp("captioning"), np.random.default_rng(0)
    (root / "features").mkdir()
    videos, sentences = [], []
    for number in [*range(96), *range(6513, 6525), *range(7010, 7030)]:
        colour, shape, first, then = (int(draw.integers(n)) for n in (3, 2, 3, 3))
        clips = int(draw.integers(4, 8))
        features = 0.05 * draw.normal(size=(clips, 9)).astype(np.float32)
        features[:, colour] += 1
        features[:, 3 + shape] += 1
        features[: clips // 2, 5 + first] += 1
        features[clips // 2:, 5 + then] += 1
        np.savez(root / "features" / f"video{number}.npz", features=features)
        videos.append({"video_id": f"video{number}", "url": "", "split": ""})
        sentences += [{"sen_id": 2 * number + i, "video_id": f"video{number}", "caption": text}
                      for i, text in enumerate(says(colour, shape, first, then))]
    (root / "MSRVTT_data.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))
    main(["import", "qvhighlights-npz", str(root / "features"), str(root / "store"), "--dtype", "float32"])
    return root


@pytest.fixture(autouse=True)
def without_java(monkeypatch) -> None:
    """METEOR's program takes seconds to start, and has tests of its own."""
    monkeypatch.setattr("evaluation.captions.missing", lambda: "not in this test")


def config(data: Path, out: Path, **options) -> CaptioningConfig:
    loop = LoopConfig(epochs=2, batch_size=32, lr=3e-3, optimiser="adamw", clip=1.0, device="cpu", checkpoint_every=2)
    made = CaptioningConfig((data / "store",), data, out, model=SMALL, writing=CaptionWriting(1, 14), loop=loop)
    return replace(made, **options)


@pytest.mark.parametrize(("mask", "sparse"), [(MaskConfig("lam-multi", sparsity=0.01), "none"), (MaskConfig(), "soft")])
def test_training_stopped_and_gone_on_with_has_the_weights_of_one_never_stopped(data, tmp_path, mask, sparse) -> None:
    weights = {}
    for kind in ("whole", "cut"):
        cfg = config(data, tmp_path / kind, model=replace(SMALL, dropout=0.1, sparse_mask=sparse), mask=mask,
                     features="standard")
        run = Run.begin(cfg.out, "captioning", cfg, {})
        if kind == "cut":
            with pytest.raises(KeyboardInterrupt):
                train(stopping(cfg.build(), 9), cfg.loop, run)
        train(cfg.build(), cfg.loop, run)
        weights[kind] = torch.load(run.checkpoints / "last.pt", weights_only=True)["model"]
    for key, value in weights["whole"].items():
        assert torch.equal(value, weights["cut"][key]), key


WORDS = ["--epochs", "24", "--batch-size", "32", "--lr", "3e-3", "--warmup", "20", "--model.dim", "32", "--model.heads",
         "4", "--model.feedforward", "64", "--model.layers", "2", "--model.dropout", "0", "--model.video-dim", "0",
         "--model.max-clips", "6", "--model.max-tokens", "16", "--writing.longest", "14", "--device", "cpu",
         "--validate-every", "24", "--weight-decay", "0.01"]


def test_the_commands_learn_to_caption_and_show_masks(data, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert main(["train", "captioning", "--video", str(data / "store"), "--captions", str(data), "--out", str(out),
                 "--mask.mask", "lam-multi", "--writing.beams", "2", *WORDS]) == 0
    predictions, truth = out / "predictions" / "test.json", out / "predictions" / "test.truth.jsonl"
    rows = json.loads(predictions.read_text())
    assert [row["image_id"] for row in rows] == [f"video{n}" for n in range(7010, 7030)]
    assert all(set(row) == {"image_id", "caption"} and row["caption"].startswith("a ") for row in rows)
    coco = json.loads(truth.read_text())
    assert len(coco["images"]) == 20 and len(coco["annotations"]) == 40 and {"id", "image_id", "caption"} == set(
        coco["annotations"][0])
    found = json.loads((out / "evaluation" / "test.json").read_text())
    assert found["figures"]["CIDEr"]["value"] > 4 and found["images"] == 20
    assert evaluate_captions(predictions, truth, False)["figures"]["CIDEr"] == found["figures"]["CIDEr"]
    capsys.readouterr()
    assert main(["evaluate", "captioning", "--predictions", str(predictions), "--truth", str(truth),
                 "--meteor", "False"]) == 0
    assert "CIDEr" in capsys.readouterr().out
    assert main(["masks", str(out), "--out", str(tmp_path / "masks.npz"), "--samples", "2"]) == 0
    with np.load(tmp_path / "masks.npz") as maps:
        assert {name.split("/")[1] for name in maps.files} == {f"bert.encoder.layer.{n}.attention.self" for n in (0, 1)}
        moved = [maps[name] for name in maps.files if name.endswith("/moved")]
        assert max(one.max() for one in moved) > 0.01
    again = tmp_path / "again.json"
    assert main(["predict", str(out), "--out", str(again)]) == 0
    assert again.read_bytes() == predictions.read_bytes()
    start = ["train", "captioning", "--video", str(data / "store"), "--captions", str(data), "--out",
             str(tmp_path / "judged"), "--init", str(out / "checkpoints" / "best.pt"), "--vocabulary", str(out),
             "--mask.mask", "lam-multi", "--writing.beams", "2", *WORDS, "--epochs", "0"]
    assert main(start) == 0  # another run that starts from its weights says the same
    assert (tmp_path / "judged" / "predictions" / "test.json").read_bytes() == predictions.read_bytes()


def test_a_sweep_has_all_masks_the_static_one_too(data, tmp_path) -> None:
    out = tmp_path / "sweep"
    words = ["sweep", "captioning", "--mask", "all", "--seeds", "1", "--inline", "--video", str(data / "store"),
             "--captions", str(data), "--out", str(out), *WORDS, "--epochs", "1"]
    assert main(words) == 0
    names = [f"mask.mask={name}" for name in ("none", "lam", "lam-multi", "control")]
    names.append("mask.mask=none,model.sparse_mask=soft")
    assert list(json.loads((out / "sweep.json").read_text())["variants"]) == names
    assert all((out / name / "seed-88" / "evaluation" / "test.json").exists() for name in names)
    assert "figures.CIDEr" in (out / "table.md").read_text()


def test_one_beam_and_many_captions_at_once_say_what_one_at_a_time_says(data, tmp_path, monkeypatch) -> None:
    task = config(data, tmp_path, writing=CaptionWriting(3, 8)).build()
    task.model.eval()
    captions = task.config.truth("test")
    together = task.write(captions)
    monkeypatch.setattr("training.tasks.captioning.WRITTEN_AT_ONCE", 3)
    assert task.write(captions) == together and len(together) == 20


def test_what_is_drawn_of_a_video_does_not_depend_on_those_beside_it(data, tmp_path, monkeypatch) -> None:
    task = config(data, tmp_path, writing=CaptionWriting(1, 8, samples=5, temperature=0.7)).build()
    task.model.eval()
    captions = task.config.truth("test")
    together = task.write(captions)
    monkeypatch.setattr("training.tasks.captioning.WRITTEN_AT_ONCE", 15)
    assert task.write(captions) == together and len({row["caption"] for row in together}) > 1


def test_training_to_tell_the_next_piece_learns_what_writing_asks(data, tmp_path) -> None:
    out = tmp_path / "run"
    assert main(["train", "captioning", "--video", str(data / "store"), "--captions", str(data), "--out", str(out),
                 "--training.objective", "next", *WORDS, "--epochs", "16", "--writing.samples", "9"]) == 0
    found = json.loads((out / "evaluation" / "test.json").read_text())
    assert found["figures"]["CIDEr"]["value"] > 4


def test_shares_of_a_batch_are_the_batch(data, tmp_path, monkeypatch) -> None:
    task = config(data, tmp_path, model=replace(SMALL, dropout=0.0)).build()
    whole = next(task.batches(1, 0))
    loss = task.step(whole)[0].item()
    monkeypatch.setattr("training.workers.world", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr("training.workers.rank", lambda rank=rank: rank)
        parts.append(next(task.batches(1, 0)))
    weights = [task.weight(part) for part in parts]
    assert sum(weights) == task.weight(whole)
    shared = sum(weight * task.step(part)[0].item() for weight, part in zip(weights, parts, strict=True))
    assert shared / sum(weights) == pytest.approx(loss, rel=1e-5)


def test_a_share_with_nothing_in_it_weighs_nothing(data, tmp_path, monkeypatch) -> None:
    task = config(data, tmp_path, loop=LoopConfig(epochs=1, batch_size=190, device="cpu")).build()
    monkeypatch.setattr("training.workers.world", lambda: 4)
    weights = []
    for rank in range(4):  # of 192 captions the second batch has two
        monkeypatch.setattr("training.workers.rank", lambda rank=rank: rank)
        weights.append(task.weight(list(task.batches(0, 0))[1]))
    assert [weight > 0 for weight in weights] == [True, True, False, False]


def test_a_berts_vocabulary_and_weights_by_path(data, tmp_path, capsys) -> None:
    transformers = pytest.importorskip("transformers")
    from features.text.wordpiece_vocabulary import build_pieces, save_pieces

    folder = tmp_path / "bert"
    texts = [text for colour in range(3) for text in says(colour, 0, 0, 1)]
    pieces = build_pieces(texts, 1)
    save_pieces(folder, pieces)
    made = transformers.BertConfig(vocab_size=len(pieces), hidden_size=32, num_attention_heads=4, intermediate_size=64,
                                   num_hidden_layers=2)
    bert = transformers.BertForMaskedLM(made)
    bert.save_pretrained(folder)
    task = config(data, tmp_path / "run", vocabulary=str(folder), init=str(folder)).build()
    assert "and what tells pieces" in capsys.readouterr().out and len(task.pieces) == len(pieces)
    assert torch.equal(task.model.bert.embeddings.word_embeddings.weight, bert.bert.embeddings.word_embeddings.weight)
    with pytest.raises(HeedError, match="cannot be read"):
        config(data, tmp_path / "none", vocabulary=str(data)).build()
    with pytest.raises(HeedError, match=r"writing\.longest 17 is more than the 16 pieces"):
        config(data, tmp_path / "other", writing=CaptionWriting(1, 17))
    with pytest.raises(HeedError, match="No store of clip features"):
        config(data, tmp_path / "other", video=()).build()
