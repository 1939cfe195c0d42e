"""Weights can be changed on their way, and asked for their gradient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from evaluation.subjects import load_subject
from evaluation.subjects.subject import IMAGE_TEXT, JOINT, TEXT_IMAGE, TEXT_TEXT, Subject
from tests.evaluation.subjects import published, rule

FAMILIES = ["uniter", "lxmert", "vilbert", "volta_uniter", "volta_lxmert", "volta_vilbert", "volta_visualbert"]


def subject_of(name: str, folder: Path) -> Subject:
    meta, _ = published.golden(name)
    save_file(published.state_dict(meta), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(meta["config"]))
    return load_subject(f"{name.split('_')[0]}:{folder}")


@pytest.mark.parametrize("name", FAMILIES)
def test_each_softmax_passes_the_edit_once_and_its_answer_is_what_is_used(name: str, tmp_path: Path) -> None:
    subject, batch = subject_of(name, tmp_path), rule.batch(6, 120)
    seen: list[tuple[str, str]] = []

    def uniform(layer: str, block: str, weights: Tensor) -> Tensor:
        seen.append((layer, block))
        return torch.full_like(weights, 0.25)

    reading, plain = subject.read(batch, uniform), subject.read(batch)
    assert len(seen) == len(set(seen))
    assert seen == [(layer.name, block) for layer in reading.layers
                    for block in ([JOINT] if layer.joint else layer.blocks)]
    real = reading.text_kinds[0] != 0
    layer = next(one for one in reading.layers if TEXT_TEXT in one.blocks)
    assert layer.blocks[TEXT_TEXT][0][:, real].eq(0.25).all()
    assert not torch.allclose(reading.text[0], plain.text[0])
    assert not torch.allclose(reading.match, plain.match)


@pytest.mark.parametrize("name", ["uniter", "lxmert", "vilbert"])
def test_without_cross_attention_the_image_cannot_change_the_words(name: str, tmp_path: Path) -> None:
    subject, batch = subject_of(name, tmp_path), rule.batch(6, 120)
    other = replace(batch, features=batch.features.flip(0) + batch.region_mask[..., None] * 0.5)
    words = batch.words.shape[1]

    def cut(layer: str, block: str, weights: Tensor) -> Tensor:
        if block == JOINT:
            weights = weights.clone()
            weights[:, :, :words, words:] = 0
            return weights / weights.sum(-1, keepdim=True)
        return torch.zeros_like(weights) if block in (TEXT_IMAGE, IMAGE_TEXT) else weights

    torch.testing.assert_close(subject.read(batch, cut).text, subject.read(other, cut).text)
    assert not torch.allclose(subject.read(batch).text, subject.read(other).text)


def test_the_gradient_of_matching_reaches_every_weight_and_predicts_the_effect_of_a_small_change(
        tmp_path: Path) -> None:
    subject, batch = subject_of("uniter", tmp_path), rule.batch(6, 120)
    kept: dict[str, Tensor] = {}

    def keep(layer: str, block: str, weights: Tensor) -> Tensor:
        kept[layer] = weights.detach().requires_grad_() if layer == "layer 1" else weights
        return kept[layer]

    reading = subject.read(batch, keep, gradients=True)
    (slope,) = torch.autograd.grad(reading.match.sum(), kept["layer 1"])
    step = 1e-2
    change = torch.zeros_like(slope)
    change[0, 1, 0, 7] = step  # [CLS] looks more at the second region, head 1

    def nudge(layer: str, block: str, weights: Tensor) -> Tensor:
        return weights + change if layer == "layer 1" else weights

    moved = subject.read(batch, nudge).match.sum() - subject.read(batch).match.sum()
    assert float(slope[0, 1, 0, 7]) != 0
    assert float(moved) == pytest.approx(float(slope[0, 1, 0, 7]) * step, rel=0.05)


def test_a_hidden_region_is_read_as_the_mask_whatever_its_features(tmp_path: Path) -> None:
    batch = rule.batch(6, 120)
    hidden = torch.zeros_like(batch.region_mask)
    hidden[:, 1] = True
    one = replace(batch, hidden=hidden)
    other = replace(one, features=one.features + hidden[..., None] * 3.0)
    for name in ("uniter", "lxmert", "vilbert"):
        subject = subject_of(name, tmp_path)
        torch.testing.assert_close(subject.read(one).image, subject.read(other).image)
    subject = subject_of("uniter", tmp_path)
    emptied = replace(batch, features=batch.features.masked_fill(hidden[..., None], 0.0))
    # UNITER's mask has a vector of its own: not the same as features of 0
    assert not torch.allclose(subject.read(one).image, subject.read(emptied).image)
