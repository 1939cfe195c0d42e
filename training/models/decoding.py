"""Sentences from a model that says what comes next: the likeliest piece each time, or beam search.

`beam_search` is SwinBERT's (microsoft/SwinBERT, src/layers/bert/modeling_utils.py), which is Oscar's, which is an early
transformers': a sentence that ends leaves the beam, and of those that have ended the best by the power of its length
wins. A sentence begins with [CLS] and ends with [SEP], or where it has its greatest length: then [SEP] takes the place
of whatever came next, whose log-probability counts, as published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.models.captioner_config import CaptionWriting

Next = Callable[[Tensor], Tensor]
"""Pieces so far (n, length) int64 to scores of the next one (n, vocabulary), any constant apart from log-probabilities.
"""


@dataclass(frozen=True)
class Specials:
    """Numbers of the pieces that are no words."""

    pad: int
    begin: int
    """[CLS]."""
    end: int
    """[SEP]."""
    mask: int


def beam_search(
    scores: Next, count: int, specials: Specials, config: CaptionWriting, device: torch.device,
) -> list[list[int]]:
    """The pieces of ``count`` captions, without [CLS] and [SEP].

    ``scores`` is given rows of ``config.beams`` captions each, those of a caption side by side.
    """
    begun = torch.full((count * config.beams, 1), specials.begin, dtype=torch.int64, device=device)
    if config.beams == 1:
        return _likeliest(scores, begun, specials, config.longest)
    return _beams(scores, begun, specials, config)


def _likeliest(scores: Next, words: Tensor, specials: Specials, longest: int) -> list[list[int]]:
    going = torch.ones(len(words), dtype=torch.bool, device=words.device)
    while words.shape[1] < longest - 1 and going.any():
        said = scores(words).argmax(-1).masked_fill(~going, specials.pad)
        going &= said != specials.end
        words = torch.cat([words, said[:, None]], 1)
    return [_cut(row, specials.end, specials.pad) for row in words[:, 1:].tolist()]


def _cut(row: list[int], end: int, pad: int) -> list[int]:
    row = row[: row.index(end)] if end in row else row
    return [piece for piece in row if piece != pad]


def _beams(scores: Next, words: Tensor, specials: Specials, config: CaptionWriting) -> list[list[int]]:
    beams = config.beams
    count = len(words) // beams
    totals = torch.full((count, beams), -1e9, device=words.device)
    totals[:, 0] = 0
    best: list[tuple[float, list[int]]] = [(float("-inf"), [])] * count
    done = [False] * count
    while (length := words.shape[1]) < config.longest and not all(done):
        chances = torch.log_softmax(scores(words).float(), -1)
        size = chances.shape[-1]
        sums = (chances.view(count, beams, size) + totals[:, :, None]).flatten(1)
        # Twice as many as there are beams: half of them may end here.
        found, where = sums.topk(min(2 * beams, sums.shape[1]), 1)
        last = length + 1 == config.longest
        kept: list[tuple[float, int, int]] = []
        for caption, (values, places) in enumerate(zip(found.tolist(), where.tolist(), strict=True)):
            most = values[0] / (config.longest - 1) ** config.length_penalty
            done[caption] = done[caption] or best[caption][0] >= most
            going: list[tuple[float, int, int]] = []
            for value, place in zip(values, places, strict=True) if not done[caption] else ():
                row, piece = caption * beams + place // size, place % size
                if piece == specials.end or last:
                    score = value / length ** config.length_penalty
                    if score > best[caption][0]:
                        best[caption] = (score, words[row, 1:].tolist())
                elif len(going) < beams:
                    going.append((value, piece, row))
                if len(going) == beams:
                    break
            kept += going + [(0.0, specials.pad, 0)] * (beams - len(going))
        totals = torch.tensor([value for value, _, _ in kept], device=words.device).view(count, beams)
        rows = torch.tensor([row for _, _, row in kept], device=words.device)
        said = torch.tensor([piece for _, piece, _ in kept], device=words.device)
        words = torch.cat([words[rows], said[:, None]], 1)
    return [pieces for _, pieces in best]
