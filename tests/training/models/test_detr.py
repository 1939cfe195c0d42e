"""Moment-DETR and QD-DETR against figures of the released code, computed with the same made-up weights."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import HeedError
from training.attention.mask_config import MaskConfig
from training.models.detr_config import DetrConfig, DetrLoss
from training.models.detr_published import build_detr, read_published
from training.models.moment_losses import Pairs, Targets, match, moment_loss
from training.models.spans import generalised_iou, to_centres, to_edges

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("moment-detr", "qd-detr")
VIDEO, TEXT = 18, 12
LAM = MaskConfig("lam-multi")


def config(name: str, published: bool = False) -> DetrConfig:
    """As the figures were made: the released QD-DETR knows no width but 256."""
    return DetrConfig(name, dim=256 if name == "qd-detr" else 64, feedforward=96, decoder_layers=3, queries=5,
                      max_clips=10, max_tokens=8, published_padding=published)


def fill(model: torch.nn.Module, seed: int = 7) -> None:
    """Weights that follow from the parameters' names and shapes alone, masks left out."""
    rng = np.random.default_rng(seed)
    state = model.state_dict()
    for name in sorted(name for name in state if "masks" not in name):
        shape = tuple(state[name].shape)
        values = rng.normal(size=shape).astype(np.float32)
        if len(shape) > 1:
            values = values * (0.5 / np.sqrt(max(1, shape[-1])))
        else:
            values = values * 0.1 + (1 if "norm" in name.lower() and name.endswith("weight") else 0)
        state[name] = torch.from_numpy(values.astype(np.float32))
    model.load_state_dict(state)


def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if key != "names"}


def published_names(name: str) -> list[str]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return file["names"].tolist()


def inputs(gold: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    video_mask = torch.arange(gold["video"].shape[1]) < gold["clips"][:, None]
    text_mask = torch.arange(gold["text"].shape[1]) < gold["tokens"][:, None]
    return gold["video"], video_mask, gold["text"], text_mask


def made(name: str, mask: MaskConfig | None = None, published: bool = False) -> torch.nn.Module:
    model = build_detr(config(name, published), mask or MaskConfig(), VIDEO, TEXT)
    fill(model)
    return model.eval()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_outputs_are_the_released_codes(name: str) -> None:
    gold = golden(name)
    found = made(name, published=True)(*inputs(gold), negatives=True)
    mask = inputs(gold)[1]
    assert torch.allclose(found.spans, gold["spans"], atol=1e-5)
    assert torch.allclose(found.logits, gold["logits"], atol=1e-5)
    assert torch.allclose(found.saliency[mask], gold["saliency"][mask], atol=1e-5)
    for (spans, logits), s, c in zip(found.auxiliary, gold["aux_spans"], gold["aux_logits"], strict=True):
        assert torch.allclose(spans, s, atol=1e-5) and torch.allclose(logits, c, atol=1e-5)
    if name == "qd-detr":
        assert torch.allclose(found.negative[mask], gold["negative"][mask], atol=1e-5)
    video, video_mask, text, text_mask = inputs(gold)
    full = made(name)(video, torch.ones_like(video_mask), text, torch.ones_like(text_mask))
    for key in ("spans", "logits", "saliency"):  # without padding the switch makes no difference
        assert torch.allclose(getattr(full, key), gold[f"full_{key}"], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_losses_are_the_released_codes(name: str) -> None:
    gold = golden(name)
    found = made(name, published=True)(*inputs(gold), negatives=True)
    known = torch.ones(len(gold["video"]), dtype=torch.bool)
    windows = list(gold["windows"].split(gold["counts"].tolist()))
    targets = Targets(windows, Pairs(gold["better"], gold["worse"], known), gold["ratings"], inputs(gold)[1], known)
    total, losses = moment_loss(found, targets, DetrLoss())
    for key, value in losses.items():
        assert float(value) == pytest.approx(float(gold[f"loss_{key}"]), rel=1e-5), key
    assert float(total) == pytest.approx(float(gold["total"]), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_released_checkpoint_loads_with_nothing_missing_or_unexpected(name: str, tmp_path: Path) -> None:
    model = made(name)
    assert sorted(model.state_dict()) == published_names(name)
    optimiser = {"state": {}, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]}
    options = argparse.Namespace(nheads=8, max_v_l=10, use_txt_pos=False, device=torch.device("cpu"), dropout=0.1)
    torch.save({"model": model.state_dict(), "optimizer": optimiser, "epoch": 3, "opt": options},
               tmp_path / "model_best.ckpt")
    read = read_published(tmp_path / "model_best.ckpt")
    assert read.config == config(name) and (read.video_dim, read.text_dim) == (VIDEO, TEXT)
    other = build_detr(read.config, LAM, VIDEO, TEXT)
    read.load_into(other)
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
    with pytest.raises(HeedError, match=r"does not fit the model: .* is \[5, .*unknown|\[6, "):
        read.load_into(build_detr(replace(read.config, queries=6), LAM, VIDEO, TEXT))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mask", [
    MaskConfig("lam"), LAM, MaskConfig("control"), MaskConfig("lam", "add", heads="each"),
])  # fmt: skip
def test_an_identity_start_is_the_model_without_a_mask_bit_for_bit(name: str, mask: MaskConfig) -> None:
    batch = inputs(golden(name))
    plain, masked = made(name)(*batch, negatives=True), made(name, mask)(*batch, negatives=True)
    for key in ("spans", "logits", "saliency", "negative"):
        a, b = getattr(plain, key), getattr(masked, key)
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_sample_gets_the_same_answer_whatever_it_is_batched_with(name: str) -> None:
    torch.manual_seed(1)
    model = made(name, MaskConfig("lam-multi", identity=False))
    gold = golden(name)
    video, video_mask, text, text_mask = inputs(gold)
    whole = model(video, video_mask, text, text_mask)
    for row in range(len(video)):
        clips, tokens = int(gold["clips"][row]), int(gold["tokens"][row])
        alone = model(video[row:row + 1, :clips], video_mask[row:row + 1, :clips], text[row:row + 1, :tokens],
                      text_mask[row:row + 1, :tokens])
        assert torch.allclose(alone.spans[0], whole.spans[row], atol=1e-5)
        assert torch.allclose(alone.saliency[0], whole.saliency[row, :clips], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter_that_is_used(name: str) -> None:
    model = made(name, MaskConfig("lam-multi", identity=False, sparsity=0.1)).train()
    gold = golden(name)
    found = model(*inputs(gold), negatives=True)
    total = found.spans.sum() + found.logits.sum() + found.saliency.sum() + model.mask_loss()
    (total if found.negative is None else total + found.negative.sum()).backward()
    idle = {key for key, value in model.named_parameters() if value.grad is None}
    assert all(key.startswith(("txt_position_embed", "transformer.decoder.bbox_embed")) for key in idle), idle


def test_every_window_is_answered_once_and_at_the_least_cost() -> None:
    torch.manual_seed(0)
    spans, logits = torch.rand(2, 4, 2), torch.randn(2, 4, 2)
    targets = [torch.rand(3, 2), torch.zeros(0, 2)]
    (rows, columns), (none, _) = match(spans, logits, targets, DetrLoss())
    assert sorted(columns.tolist()) == [0, 1, 2] and len(set(rows.tolist())) == 3 and not len(none)

    def cost(p: int, t: int) -> float:
        a, b = spans[0, p], targets[0][t]
        giou = generalised_iou(to_edges(a), to_edges(b))
        return float(10 * (a - b).abs().sum() - giou - 4 * logits[0, p].softmax(-1)[0])

    best = min(sum(cost(p, t) for t, p in enumerate(order)) for order in permutations(range(4), 3))
    total = sum(cost(p, t) for p, t in zip(rows.tolist(), columns.tolist(), strict=True))
    assert total == pytest.approx(best, rel=1e-5)


def test_spans_and_their_generalised_iou() -> None:
    edges = torch.tensor([[0.0, 0.2], [0.5, 1.0], [0.3, 0.3]])
    assert torch.allclose(to_edges(to_centres(edges)), edges)
    other = torch.tensor([[0.0, 0.3], [0.0, 1.0], [0.3, 0.3]])
    # The first two rows and columns are the example in the released code's docstring.
    assert torch.allclose(generalised_iou(edges[:2, None], other[None, :2]),
                          torch.tensor([[0.6667, 0.2], [-0.2, 0.5]]), atol=1e-4)
    assert generalised_iou(edges[2], other[2]) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_any_window_has_a_loss_and_gradients_that_are_numbers(name: str) -> None:
    gold = golden(name)
    model = made(name).train()
    found = model(*inputs(gold), negatives=True)
    size = len(gold["video"])
    pairs = Pairs(torch.zeros(size, 2, dtype=torch.int64), torch.zeros(size, 2, dtype=torch.int64),
                  torch.zeros(size, dtype=torch.bool))
    nothing = torch.zeros_like(gold["ratings"])
    targets = Targets([torch.zeros(0, 2)] * size, pairs, nothing, inputs(gold)[1], pairs.known)
    total, losses = moment_loss(found, targets, DetrLoss())
    total.backward()
    assert torch.isfinite(total) and losses["span"].item() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
