"""DAMSM, then AttnGAN guided by it: trained a little on rendered scenes, stopped, gone on with, painted and judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.attention_file import AttentionFile
from evaluation.generated import Generated
from evaluation.run_folder import attention_path
from features.errors import HeedError
from pipeline.scenes.dataset import write_scenes
from training.attention.config import AttentionConfig
from training.captioned_batches import PictureOptions
from training.commands import Predict
from training.config import LoopConfig
from training.faithfulness import Faithfulness
from training.loop import train
from training.models.attngan.config import AttnGanConfig, EncoderConfig
from training.models.attngan.published import load_network
from training.run import Run
from training.tasks.damsm import DamsmConfig, load_encoders
from training.tasks.generation import GenerationConfig

DATA = PictureOptions(words=6, crop=False, flip=False)
LOOP = LoopConfig(epochs=2, batch_size=8, lr=1e-3, betas=(0.5, 0.999), clip=0.25, device="cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generation")
    write_scenes(folder / "few", 30, 0, 32, flavour="few", workers=1)
    encoders = EncoderConfig("small", embed_dim=8, word_dim=6, width=4)
    assert DamsmConfig(folder / "few", folder / "damsm", 32, DATA, encoders, LOOP).run() == 0
    return folder


def config(folder: Path, out: str, **options: object) -> GenerationConfig:
    model = AttnGanConfig(stages=2, base_size=16, gf_dim=2, df_dim=2, z_dim=4, condition_dim=5, residuals=1)
    loop = replace(LOOP, epochs=1, clip=0.0, ema=0.9)
    made = GenerationConfig(folder / "few", folder / "damsm", folder / out, guidance=1.0, maps=2, data=DATA,
                            attention=AttentionConfig("general"), model=model, loop=loop)
    return replace(made, **options)


def test_damsms_run_ends_with_files_under_published_names(made: Path) -> None:
    run = made / "damsm"
    figures = json.loads((run / "evaluation" / "test.json").read_text())
    assert figures["images"] == 3 and figures["captions"] == 15
    encoders, vocabulary = load_encoders(run, made / "few")
    assert vocabulary.words[0] == "<end>" and not any(p.requires_grad for p in encoders.parameters())
    load_network(encoders.text_encoder, run / "text_encoder.pth")
    names = set(torch.load(run / "text_encoder.pth", weights_only=True))
    assert "encoder.weight" in names and "rnn.weight_hh_l0_reverse" in names


def test_generation_trains_paints_and_is_judged_from_its_files(made: Path) -> None:
    assert config(made, "gan").run() == 0
    found = json.loads((made / "gan" / "evaluation" / "test.json").read_text())
    assert found["pictures"] == 3 and "r_precision" in found["figures"]
    out = made / "gan" / "predictions" / "test.json"
    generated = Generated.read(out)
    assert generated.pixels(0).shape == (32, 32, 3)
    maps = AttentionFile.read(attention_path(out))
    assert len(maps) == 2 and len(maps[0].queries) == 16 * 16 and 0 < len(maps[0].keys) <= 6
    assert (made / "gan" / "netG.pth").exists() and (made / "gan" / "netD1.pth").exists()
    assert Predict(made / "gan", made / "again.json").run() == 0  # the same noise, the same pictures
    again = Generated.read(made / "again.json")
    assert all((again.pixels(place) == generated.pixels(place)).all() for place in range(3))
    assert Faithfulness(made / "gan", steps=2, orders=1).run() == 0
    measured = json.loads((made / "gan" / "measures" / "test.faithfulness.json").read_text())
    assert measured["samples"] == 3 and measured["keys"] == "words"


def test_weights_files_begin_another_training(made: Path) -> None:
    task = config(made, "exported").build()
    (made / "exported").mkdir()
    task.export(made / "exported")
    begun = config(made, "begun", begin=made / "exported" / "netG.pth")
    begun = replace(begun, loop=replace(begun.loop, seed=5)).build()
    assert all(torch.equal(value, begun.model.state_dict()[name]) for name, value in task.model.state_dict().items())


def stopping(update: Callable, after: int) -> Callable:
    taken = iter(range(10))

    def step(*arguments: object) -> object:
        if next(taken) == after:
            raise KeyboardInterrupt
        return update(*arguments)

    return step


def test_a_stopped_training_goes_on_to_the_same_weights(made: Path) -> None:
    weights = []
    for stop in (None, 2):
        settings = config(made, f"stopped-{stop}")
        settings = replace(settings, loop=replace(settings.loop, checkpoint_every=1))
        run = Run.begin(settings.out, "generation", settings, {})
        task = settings.build()
        if stop is not None:
            task.update = stopping(task.update, stop)
            with pytest.raises(KeyboardInterrupt):
                train(task, settings.loop, run)
            task = settings.build()
        train(task, settings.loop, run)
        weights.append(task.model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_step_moves_generator_and_discriminators_and_leaves_the_encoders(made: Path) -> None:
    task = config(made, "step").build()
    before = {name: value.clone() for name, value in task.model.named_parameters()}
    encoders = [value.clone() for value in task.encoders.state_dict().values()]
    optimisers = task.optimisers(task.config.loop)
    task.model.train()
    loss, figures = task.update([next(task.batches(0, 0))], optimisers, 1e-3)
    still = [name for name, value in task.model.named_parameters() if torch.equal(value, before[name])]
    assert not still and np.isfinite(loss) and figures["words_loss"] > 0
    assert all(torch.equal(a, b) for a, b in zip(encoders, task.encoders.state_dict().values(), strict=True))
    with pytest.raises(HeedError, match="accumulate"):
        task.update([1, 2], optimisers, 1e-3)


def test_batches_follow_from_seed_epoch_and_step_and_long_captions_lose_words_at_random(made: Path) -> None:
    task = config(made, "batches").build()
    first, again = (list(task.batches(0, 0)) for _ in range(2))
    assert len(first) == task.steps_per_epoch == 3  # 24 training pictures
    resumed = next(task.batches(0, 2))
    for a, b in ((first[2], again[2]), (first[2], resumed)):
        assert torch.equal(a.tokens, b.tokens) and torch.equal(a.pictures[1], b.pictures[1])
    assert [len(p) for p in (first[0].pictures[0][0, 0], first[0].pictures[1][0, 0])] == [16, 32]
    assert int(max(batch.lengths.max() for batch in first)) == 6
    other = {caption.id for batch in task.batches(1, 0) for caption in batch.captions}
    assert other != {caption.id for batch in first for caption in batch.captions}


def test_missing_encoders_and_odd_sizes_are_said(made: Path) -> None:
    with pytest.raises(HeedError, match="heed train damsm"):
        config(made, "x", damsm=made / "few").build()
    with pytest.raises(HeedError, match="power of two"):
        config(made, "x", model=AttnGanConfig(stages=2, base_size=24)).build()
    with pytest.raises(HeedError, match="lower --batch-size"):
        config(made, "x", loop=replace(LOOP, batch_size=64)).build()
