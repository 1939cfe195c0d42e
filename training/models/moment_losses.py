"""The losses of Moment-DETR and QD-DETR: which prediction answers which window, and what each costs.

Definitions as released (jayleicn/moment_detr and wjun0830/QD-DETR, model.py and matcher.py). A pair of clips is one
that should be more salient and one that should be less so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from training.models.detr_config import DetrLoss
from training.models.moment_detr import Found
from training.models.spans import generalised_iou, to_edges

TEMPERATURE, LEVELS, DIVISOR, NOWHERE = 0.5, 11, 12, -1e3
"""QD-DETR's ranking: logits are divided by the temperature; a clip is positive at level r where its summed rating is at
least r, of levels 1 to 11; their losses are summed and divided by 12; what is padding has the logit -1000."""


@dataclass(frozen=True)
class Pairs:
    """For each sample clips that should be more salient than others."""

    better: Tensor
    """(batch, pairs) int64."""
    worse: Tensor
    """(batch, pairs) int64."""
    known: Tensor
    """(batch,) bool: whether there are any in the sample."""


@dataclass(frozen=True)
class Targets:
    """What is true of a batch."""

    spans: Sequence[Tensor]
    """For each sample (w, 2): centre and width as fractions of the video; w may be 0."""
    pairs: Pairs
    ratings: Tensor
    """(batch, clips) float: each clip's ratings, summed, 0 to 12."""
    video_mask: Tensor
    """(batch, clips) bool."""
    other: Tensor
    """(batch,) bool: whether the next sample's text is about another video, so that nothing here answers it."""


def moment_loss(found: Found, targets: Targets, weights: DetrLoss) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of all losses, and each of them, unweighted, by name; auxiliary ones end in _0, _1, …"""
    losses = set_losses(found.spans, found.logits, targets.spans, weights)
    losses["saliency"] = margin_loss(found.saliency, targets.pairs, weights.margin)
    if found.negative is not None:
        losses["saliency"] = losses["saliency"] + rank_loss(found.saliency, found.negative, targets) \
            + negative_loss(found.negative, targets)
    if weights.auxiliary:
        for number, (spans, logits) in enumerate(found.auxiliary):
            of_layer = set_losses(spans, logits, targets.spans, weights)
            losses |= {f"{name}_{number}": value for name, value in of_layer.items()}
    total = sum(getattr(weights, name.partition("_")[0]) * value for name, value in losses.items())
    assert isinstance(total, Tensor)
    return total, losses


@torch.no_grad()
def match(spans: Tensor, logits: Tensor, targets: Sequence[Tensor], weights: DetrLoss) -> list[tuple[Tensor, Tensor]]:
    """For each sample the predictions and the windows that answer each other at the least cost (Hungarian method)."""
    most = max((len(target) for target in targets), default=0)
    padded = torch.stack([F.pad(target, (0, 0, 0, most - len(target))) for target in targets])
    cost = weights.span * (spans[:, :, None] - padded[:, None]).abs().sum(-1)
    cost = cost - weights.giou * generalised_iou(to_edges(spans)[:, :, None], to_edges(padded)[:, None])
    cost = cost - weights.label * logits.softmax(-1)[:, :, None, 0]
    chosen = []
    for one, target in zip(cost.cpu().numpy(), targets, strict=True):
        rows, columns = linear_sum_assignment(one[:, : len(target)])
        chosen.append((torch.from_numpy(rows).to(spans.device), torch.from_numpy(columns).to(spans.device)))
    return chosen


def set_losses(spans: Tensor, logits: Tensor, targets: Sequence[Tensor], weights: DetrLoss) -> dict[str, Tensor]:
    """Losses of one layer's predictions: spans and giou over matched windows, label over all predictions."""
    matched = match(spans, logits, targets, weights)
    sample = torch.cat([torch.full_like(rows, number) for number, (rows, _) in enumerate(matched)])
    row = torch.cat([rows for rows, _ in matched])
    true = torch.cat([target[columns] for target, (_, columns) in zip(targets, matched, strict=True)])
    said, count = spans[sample, row], max(1, len(true))
    background = torch.ones(logits.shape[:2], dtype=torch.int64, device=logits.device)
    background[sample, row] = 0
    scale = torch.tensor([1.0, weights.background], device=logits.device)
    label = F.cross_entropy(logits.transpose(1, 2).float(), background, scale, reduction="none").mean()
    giou = 1 - generalised_iou(to_edges(said), to_edges(true))
    return {"span": (said - true).abs().sum() / (2 * count), "giou": giou.sum() / count, "label": label}


def margin_loss(saliency: Tensor, pairs: Pairs, margin: float) -> Tensor:
    """How much too little more salient the better clip of each pair is; twice the mean, as published."""
    apart = saliency.gather(1, pairs.worse) - saliency.gather(1, pairs.better)
    return 2 * ((margin + apart).clamp(min=0) * pairs.known[:, None]).mean()


def negative_loss(negative: Tensor, targets: Targets) -> Tensor:
    """-log(1 - sigmoid(saliency)) of clips under another sample's text, summed over clips."""
    return (F.softplus(negative) * targets.video_mask * targets.other[:, None]).sum(1).mean()


def rank_loss(saliency: Tensor, negative: Tensor, targets: Targets) -> Tensor:
    """QD-DETR's ranking: at each level, clips rated so high against all others and against the negative pair's."""
    valid = torch.cat([targets.video_mask, targets.video_mask & targets.other[:, None]], 1)
    scores = torch.where(valid, torch.cat([saliency, negative], 1), NOWHERE) / TEMPERATURE
    ratings = torch.cat([targets.ratings, torch.zeros_like(targets.ratings)], 1)
    logits = scores - scores.max(1, keepdim=True).values
    log_p = logits - torch.log(logits.exp().sum(1, keepdim=True) + 1e-6)
    levels = torch.arange(1, LEVELS + 1, device=saliency.device)
    positive = ratings[:, None] >= levels[:, None]  # (batch, levels, 2 clips)
    mean = (positive * (log_p * valid)[:, None]).sum(2) / (positive.sum(2) + 1e-6)
    return -mean.mean(0).sum() / DIVISOR
