"""Which words and regions matching relies on, by five explanations: raw attention, rollout, gradients, relevance.

A token's relevance for the log-odds that text and image belong together is:

- attention: [CLS]'s weights in the last layer that has them, mean over heads;
- rollout: Abnar and Zuidema (2020): the product over layers of (A + I) / row sum, A the mean over heads;
- gradient: the gradient of the features times the features, the size of their sum; of regions alone;
- gradient-attention: the positive part of gradient x weights of the last layer, mean over heads;
- relevance: Chefer, Gur and Wolf (ICCV 2021): R <- R + A R, A being the mean over heads of the positive part of
  gradient x weights, and across two streams R_sq <- R_sq + R'_ss' A R'_qq and R_ss <- R_ss + A R_qs, R' being R - I
  with rows made to sum to 1, + I.

Matching reads [CLS], so a row of R is the answer: the row of the text's first position.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from evaluation.subjects.subject import (
    IMAGE_IMAGE,
    IMAGE_TEXT,
    JOINT,
    TEXT_IMAGE,
    TEXT_TEXT,
    Batch,
    Reading,
    Subject,
)
from features.errors import HeedError

METHODS = ("attention", "rollout", "gradient", "gradient-attention", "relevance")


def explain(subject: Subject, batch: Batch, method: str) -> tuple[Tensor | None, Tensor]:
    """Relevance of words (n, words) and of regions (n, regions), float32, not negative; None where a method has none.

    Raises `HeedError` where the subject has no matching head, or there is no such method.
    """
    if method not in METHODS:
        raise HeedError(f"There is no explanation {method!r}; there are {', '.join(METHODS)}.")
    if method == "gradient":
        return None, _gradient(subject, batch)
    weights: list[tuple[str, str, Tensor]] = []

    def keep(layer: str, block: str, found: Tensor) -> Tensor:
        found = found if found.requires_grad else found.detach().requires_grad_()
        weights.append((layer, block, found))
        return found

    reading = subject.read(batch, keep, gradients=True)
    slopes = torch.autograd.grad(_matching(subject, reading).sum(), [found for _, _, found in weights],
                                 allow_unused=True)
    with torch.no_grad():
        plain = [(layer, block, found.detach().mean(1)) for layer, block, found in weights]
        graded = [(layer, block, torch.zeros_like(found[:, 0]) if slope is None else
                   (slope * found).clamp(min=0).mean(1))
                  for (layer, block, found), slope in zip(weights, slopes, strict=True)]
        sides = reading.text_kinds.shape[1], reading.image_kinds.shape[1]
        if method in ("attention", "gradient-attention"):
            row = _last_row(plain if method == "attention" else graded, sides)
        elif method == "rollout":
            row = _rolled(plain, sides)
        else:
            row = _propagated(graded, sides)
    row = row.float()
    words, regions = batch.words.shape[1], batch.features.shape[1]
    return row[:, :words], row[:, sides[0] : sides[0] + regions]


def _matching(subject: Subject, reading: Reading) -> Tensor:
    if reading.match is None:
        raise HeedError(f"The weights of {subject.name} have no matching head to explain.")
    return reading.match


def _gradient(subject: Subject, batch: Batch) -> Tensor:
    features = batch.features.detach().clone().requires_grad_()
    reading = subject.read(replace(batch, features=features), gradients=True)
    (slope,) = torch.autograd.grad(_matching(subject, reading).sum(), features)
    return (slope * features.detach()).sum(-1).abs()


def _placed(block: str, found: Tensor, sides: tuple[int, int]) -> Tensor:
    """Weights (n, queries, keys) of one block, or of all as one, in a matrix (n, text + image, text + image) of 0."""
    if block == JOINT:
        return found
    whole = found.new_zeros(len(found), sum(sides), sum(sides))
    place = {"text": slice(0, sides[0]), "image": slice(sides[0], sum(sides))}
    query, key = block.split("->")
    whole[:, place[query], place[key]] = found
    return whole


def _last_row(found: list[tuple[str, str, Tensor]], sides: tuple[int, int]) -> Tensor:
    """[CLS]'s weights: of the last softmax over words and of the last over regions."""
    row = found[0][2].new_zeros(len(found[0][2]), sum(sides))
    for _, block, weights in found:
        if block == JOINT:
            row = weights[:, 0]
        elif block == TEXT_TEXT:
            row = torch.cat([weights[:, 0], row[:, sides[0] :]], 1)
        elif block == TEXT_IMAGE:
            row = torch.cat([row[:, : sides[0]], weights[:, 0]], 1)
    return row


def _steps(found: list[tuple[str, str, Tensor]]) -> list[list[tuple[str, Tensor]]]:
    """Softmaxes that read the same states run as one step: the two between the streams of one layer."""
    steps: list[list[tuple[str, Tensor]]] = []
    before = ("", "")
    for layer, block, weights in found:
        across = block in (TEXT_IMAGE, IMAGE_TEXT)
        if across and before[0] == layer and before[1] in (TEXT_IMAGE, IMAGE_TEXT):
            steps[-1].append((block, weights))
        else:
            steps.append([(block, weights)])
        before = (layer, block)
    return steps


def _rolled(found: list[tuple[str, str, Tensor]], sides: tuple[int, int]) -> Tensor:
    first = found[0][2]
    identity = torch.eye(sum(sides), dtype=first.dtype, device=first.device)
    rolled = identity.expand(len(first), -1, -1)
    for step in _steps(found):
        layer = sum((_placed(block, weights, sides) for block, weights in step), start=identity)
        rolled = layer / layer.sum(-1, keepdim=True) @ rolled
    return rolled[:, 0]


def _propagated(found: list[tuple[str, str, Tensor]], sides: tuple[int, int]) -> Tensor:
    """Chefer's rules; self-attention, in either stream or over both, is R + A R."""
    first = found[0][2]
    text, image = slice(0, sides[0]), slice(sides[0], sum(sides))
    relevance = torch.eye(sum(sides), dtype=first.dtype, device=first.device).repeat(len(first), 1, 1)
    for step in _steps(found):
        if step[0][0] in (JOINT, TEXT_TEXT, IMAGE_IMAGE):
            ((block, weights),) = step
            relevance = relevance + _placed(block, weights, sides) @ relevance
            continue
        added = torch.zeros_like(relevance)
        for block, weights in step:
            own, other = (text, image) if block == TEXT_IMAGE else (image, text)
            added[:, own, other] += (_rows_of_one(relevance[:, own, own]).transpose(1, 2) @ weights
                                     @ _rows_of_one(relevance[:, other, other]))
            added[:, own, own] += weights @ relevance[:, other, own]
        relevance = relevance + added
    row = relevance[:, 0].clone()
    row[:, 0] = 0  # [CLS] for itself: the identity it began with
    return row


def _rows_of_one(relevance: Tensor) -> Tensor:
    """R - I with rows made to sum to 1, + I; a row of nothing stays the identity's."""
    identity = torch.eye(relevance.shape[-1], dtype=relevance.dtype, device=relevance.device)
    rest = relevance - identity
    total = rest.sum(-1, keepdim=True)
    return torch.where(total > 0, rest / total.clamp(min=torch.finfo(rest.dtype).tiny), 0.0) + identity
