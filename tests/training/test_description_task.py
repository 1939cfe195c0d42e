"""The task description on made-up films: it learns, follows what it said, goes on, and takes a GPT-2 from a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import HeedError
from heed import main
from training.attention.mask_config import MaskConfig
from training.config import LoopConfig
from training.loop import train
from training.models.describer_config import DecodeConfig, LanguageConfig, MapperConfig
from training.run import Run
from training.tasks.description import DescriptionConfig, sentences_before
from training.tasks.description_say import described, in_rounds

h5py = pytest.importorskip("h5py")
THINGS, ACTS, SOUNDS = ("star", "moon", "leaf", "drum"), ("spins", "falls", "grows"), ("softly", "loudly")
MAPPER = MapperConfig(latents=3, dim=32, heads=2, layers=1, max_clips=16)
LANGUAGE = LanguageConfig(dim=32, layers=1, heads=2, dropout=0.0, max_tokens=12)


def make(root: Path) -> None:
    """Films in which things do something; video says what, sound how. Said twice in a film, it happens "again"."""
    draw = np.random.default_rng(0)
    video, audio = (h5py.File(root / f"CLIP_{name}_frames_features_5fps.h5", "w") for name in ("B32", "sound"))
    entries: dict[str, dict[str, dict]] = {"train": {}, "val": {}, "test": {}}
    with video, audio:
        for film in range(18):
            split = {16: "val", 17: "test"}.get(film, "train")
            frames, sounds = (0.1 * draw.normal(size=(200, size)).astype(np.float32) for size in (7, 2))
            said = set()
            for number in range(18):
                thing, act, sound = (int(draw.integers(len(names))) for names in (THINGS, ACTS, SOUNDS))
                span = slice(10 * number + 2, 10 * number + 9)
                frames[span, thing] += 1
                frames[span, 4 + act] += 1
                sounds[span, sound] += 1
                again = " again" if (thing, act) in said else ""
                said.add((thing, act))
                entries[split][f"{film}-{number}"] = {
                    "movie": f"film{film}", "movie_duration": 40.0,
                    "ext_timestamps": [2 * number + 0.4, 2 * number + 1.8],
                    "sentence": f"The {THINGS[thing]} {ACTS[act]} {SOUNDS[sound]}{again}."}
            video[f"film{film}"], audio[f"film{film}"] = frames, sounds
    for split, rows in entries.items():
        (root / f"MAD_{split}.json").write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("films")
    make(root)
    for file, store in (("B32", "video"), ("sound", "audio")):
        assert main(["import", "mad-h5", str(root / f"CLIP_{file}_frames_features_5fps.h5"), str(root / store)]) == 0
    return root


def config(data: Path, out: Path, **options) -> DescriptionConfig:
    loop = LoopConfig(epochs=2, batch_size=32, lr=3e-3, optimiser="adamw", device="cpu", checkpoint_every=3)
    made = DescriptionConfig((data / "video",), data, out, audio=data / "audio", mapper=MAPPER, language=LANGUAGE,
                             decode=DecodeConfig(1), loop=loop)
    return replace(made, **options)


def test_the_command_learns_from_video_and_sound_and_shows_its_masks(data, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("evaluation.description.missing", lambda: "it takes too long in a test")
    out = tmp_path / "run"
    words = ["train", "description", "--video", str(data / "video"), "--audio", str(data / "audio"), "--descriptions",
             str(data), "--out", str(out), "--mask.mask", "lam-multi", "--mapper.latents", "3", "--mapper.dim", "32",
             "--mapper.heads", "2", "--mapper.max-clips", "16", "--language.dim", "32", "--language.layers", "1",
             "--language.heads", "2", "--language.dropout", "0", "--language.max-tokens", "12", "--epochs", "12",
             "--batch-size", "16", "--lr", "6e-3", "--features", "standard", "--decode.beams", "2", "--device", "cpu",
             "--validate-every", "6"]
    assert main(words) == 0
    found = json.loads((out / "evaluation" / "test.json").read_text())
    assert found["descriptions"] == 18 and found["windows"] == 1
    assert found["figures"]["R@5/16"]["value"] > 80
    rows = [json.loads(line) for line in (out / "predictions" / "test.jsonl").read_text().splitlines()]
    assert rows[0].keys() == {"id", "video", "start", "end", "sentence"} and rows[0]["sentence"].startswith("The ")
    true = [json.loads(line) for line in (out / "predictions" / "test.truth.jsonl").read_text().splitlines()]
    for words in (THINGS, ACTS, SOUNDS):  # the last are only heard
        right = [next((word for word in words if word in row["sentence"]), "") in one["sentence"].rstrip(".").split()
                 for row, one in zip(rows, true, strict=True)]
        assert np.mean(right) > 0.8
    assert main(["evaluate", "description", "--predictions", str(out / "predictions" / "test.jsonl"), "--truth",
                 str(out / "predictions" / "test.truth.jsonl")]) == 0
    assert main(["masks", str(out), "--out", str(tmp_path / "masks.npz"), "--samples", "2"]) == 0
    with np.load(tmp_path / "masks.npz") as maps:
        assert {name.split("/")[1] for name in maps.files} == {f"perceiver.encoder.resblocks.{i}.attn" for i in (0, 1)}
    with h5py.File(tmp_path / "CLIP_L14_frames_features_5fps.h5", "w") as file:
        file["film17"] = np.ones((200, 9), np.float32)
    main(["import", "mad-h5", str(tmp_path / "CLIP_L14_frames_features_5fps.h5"), str(tmp_path / "other")])
    settings = json.loads((out / "config.json").read_text())
    settings["video"] = [str(tmp_path / "other")]
    (out / "config.json").write_text(json.dumps(settings))
    capsys.readouterr()
    assert main(["predict", str(out), "--out", str(tmp_path / "again.jsonl")]) == 2
    assert "were not made by the extractor" in capsys.readouterr().err


@pytest.mark.parametrize("mask", ["none", "lam"])
def test_training_stopped_and_gone_on_with_has_the_weights_of_one_never_stopped(data, tmp_path, mask) -> None:
    weights = {}
    language = replace(LANGUAGE, dropout=0.1)
    for kind in ("whole", "cut"):
        cfg = config(data, tmp_path / kind, mask=MaskConfig(mask, sparsity=0.01), language=language, context=1,
                     features="standard", mapper=replace(MAPPER, shares=True, dropout=0.1))
        run = Run.begin(cfg.out, "description", cfg, {})
        if kind == "cut":
            task = cfg.build()
            steps, left = task.step, iter(range(13))

            def stopping(batch, steps=steps, left=left):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return steps(batch)

            task.step = stopping
            with pytest.raises(KeyboardInterrupt):
                train(task, cfg.loop, run)
        train(cfg.build(), cfg.loop, run)
        weights[kind] = torch.load(run.checkpoints / "last.pt", weights_only=True)["model"]
    for key, value in weights["whole"].items():
        assert torch.equal(value, weights["cut"][key]), key


def test_a_sentence_follows_from_the_models_own_or_from_the_true_ones(data, tmp_path) -> None:
    own = config(data, tmp_path / "own", context=2).build()
    truth = own.config.truth("train")[:40]
    told: list[list[str]] = []
    prompt = own._prompt

    def heard(batch, before):
        told.extend((one.id, list(sentences)) for one, sentences in zip(batch.samples, before, strict=True))
        return prompt(batch, before)

    own._prompt = heard
    with torch.no_grad():
        said = described(own, truth)
    film = [one for one in truth if one.key == truth[0].key]
    for place, one in enumerate(film):
        assert dict(told)[one.id] == [said[other.id] for other in film[max(0, place - 2): place]]
    told.clear()
    own.config = replace(own.config, context_from="true")
    with torch.no_grad():
        described(own, truth)
    assert dict(told)[film[5].id] == [film[3].text, film[4].text]
    assert sentences_before(truth, 0)[film[3].id] == ()
    groups = list(in_rounds(own.windows(truth)))
    assert [len(group) for group in groups[:5]] == [3, 3, 3, 3, 2] and len(groups) == 18


def test_the_loss_of_several_workers_is_weighed_by_tokens(data, tmp_path) -> None:
    task = config(data, tmp_path).build()
    batch = next(task.batches(0, 0))
    tokens = [len(one.text.rstrip(".").split()) + 2 for one in batch.samples]  # a full stop and the end
    assert task.weight(batch) == sum(tokens)


def gpt2_folder(folder: Path) -> Path:
    """A GPT-2 in Hugging Face's layout, of one layer, whose tokens are single letters; Ġ is a space there."""
    import transformers

    folder.mkdir()
    pieces = [*map(chr, range(33, 127)), "Ġ"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate([*pieces, "<|endoftext|>"])}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    made = transformers.GPT2Config(vocab_size=96, n_positions=96, n_embd=16, n_layer=1, n_head=2, bos_token_id=95,
                                   eos_token_id=95)
    transformers.GPT2LMHeadModel(made).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    return folder


def test_a_pretrained_gpt2_is_read_from_a_folder_and_only_trained_where_asked(data, tmp_path) -> None:
    folder = gpt2_folder(tmp_path / "gpt2")
    language = LanguageConfig(str(folder), max_tokens=40)
    frozen = config(data, tmp_path / "a", language=language, context=1).build()
    assert not any(name.startswith("gpt.") for name in frozen.model.state_dict())
    text = frozen.training[0].text
    assert frozen.tokens.decode(frozen.tokens.encode(text)) == text and len(frozen.tokens.encode(text)) == len(text)
    loss, _ = frozen.step(next(frozen.batches(0, 0)))
    loss.backward()
    assert frozen.model.bos_token.weight.grad.abs().sum() > 0
    trained = config(data, tmp_path / "b", language=replace(language, train=True)).build()
    assert trained.model.gpt.lm_head.weight.requires_grad
    with pytest.raises(HeedError, match="has 96 positions, too few"):
        config(data, tmp_path / "c", language=replace(language, max_tokens=93)).build()


def test_no_video_and_a_folder_without_films_are_refused(data, tmp_path) -> None:
    with pytest.raises(HeedError, match="No store of clip features"):
        config(data, tmp_path, video=()).build()
    (tmp_path / "MAD_train.json").write_text((data / "MAD_train.json").read_text().replace('"film', '"other'))
    with pytest.raises(HeedError, match="No description has clips in every store"):
        _ = config(data, tmp_path / "run", descriptions=tmp_path).build().stream
