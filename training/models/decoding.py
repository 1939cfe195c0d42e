"""Sentences from a model that says what comes next: the likeliest token each time, beam search, or by chance.

`beam_search` is SwinBERT's (microsoft/SwinBERT, src/layers/bert/modeling_utils.py), which is Oscar's, which is an early
transformers': a sentence that ends leaves the beam, and of those that have ended the best by the power of its length
wins. A sentence begins with [CLS] and ends with [SEP], or where it has its greatest length: then [SEP] takes the place
of whatever came next, whose log-probability counts, as published.

`mean_search` is AutoAD's (TengdaHan/AutoAD, models/gpt_utils.py, ``generate_beam``), for a whole batch: of all
continuations of the kept sentences those with the greatest mean log-probability a token are kept, the end counted as a
token; a sentence that has ended stays with its mean.

`draw` takes pieces by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.models.captioner_config import CaptionWriting
from training.models.describer_config import DecodeConfig

Next = Callable[[Tensor], Tensor]
"""Pieces so far (n, length) int64 to scores of the next one (n, vocabulary), any constant apart from log-probabilities.
"""


Step = Callable[[Tensor, Tensor], Tensor]
"""(Last tokens (rows,), from which of the former rows each goes on (rows,)) to logits of the next one (rows, words)."""


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


def draw(
    scores: Next, chances: Tensor, specials: Specials, config: CaptionWriting,
) -> list[list[int]]:
    """The pieces of as many captions as ``chances`` (captions, longest) has rows, without [CLS] and [SEP].

    Each piece is drawn as likely as ``scores`` / temperature say: it is where the sum of probabilities passes the
    number, evenly drawn between 0 and 1, that ``chances`` has for its place.
    """
    words = torch.full((len(chances), 1), specials.begin, dtype=torch.int64, device=chances.device)
    going = torch.ones(len(words), dtype=torch.bool, device=words.device)
    while words.shape[1] < config.longest - 1 and going.any():
        sums = torch.softmax(scores(words).float() / config.temperature, -1).cumsum(-1)
        found = torch.searchsorted(sums, chances[:, words.shape[1], None] * sums[:, -1:], right=True)[:, 0]
        said = found.clamp(max=sums.shape[1] - 1).masked_fill(~going, specials.pad)
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


def mean_search(first: Tensor, step: Step, end: int, most: int, config: DecodeConfig) -> list[list[int]]:
    """The best sentence of each sample, its end not among the tokens; at most ``most`` tokens, the end counted.

    ``first`` (batch, words) are logits of the first token. ``step`` is asked with batch * beams rows, those of a sample
    next to each other; the rows it is first asked about go on from rows of ``first``.
    """
    batch, words = first.shape
    beams = min(config.beams, words)
    scores, best = first.float().log_softmax(-1).topk(beams, -1)  # (batch, beams)
    tokens = best.reshape(-1, 1)
    lengths = torch.ones(batch, beams, device=first.device)
    ended = best == end
    source = torch.arange(batch, device=first.device).repeat_interleave(beams)
    offset = torch.arange(0, batch * beams, beams, device=first.device)[:, None]
    for _ in range(most - 1):
        if bool(ended.all()):
            break
        logs = step(tokens[:, -1], source).float().log_softmax(-1)
        logs = _restrained(logs, tokens, config).view(batch, beams, words)
        logs = logs.masked_fill(ended[..., None], -torch.inf)
        logs[..., 0] = logs[..., 0].masked_fill(ended, 0.0)
        lengths = lengths + ~ended
        means = (scores[..., None] + logs) / lengths[..., None]
        kept, place = means.flatten(1).topk(beams, -1)
        beam, token = place // words, place % words
        source = (offset + beam).flatten()
        tokens = torch.cat([tokens[source], token.reshape(-1, 1)], 1)
        lengths, ended = lengths.gather(1, beam), ended.gather(1, beam)
        scores = kept * lengths
        ended = ended | (token == end)
    winner = (scores / lengths).argmax(-1)
    chosen = tokens.view(batch, beams, -1)[torch.arange(batch, device=first.device), winner]
    count = lengths.gather(1, winner[:, None])[:, 0].long()
    return [[token for token in row[:n] if token != end]
            for row, n in zip(chosen.tolist(), count.tolist(), strict=True)]


def _restrained(logs: Tensor, tokens: Tensor, config: DecodeConfig) -> Tensor:
    """Logarithms (rows, words) with words said already made less likely and repeated sequences made impossible."""
    if config.repetition_penalty != 1.0:
        said = torch.zeros_like(logs, dtype=torch.bool).scatter_(1, tokens, True)
        logs = torch.where(said, logs * config.repetition_penalty, logs)
    size = config.no_repeat
    if size and tokens.shape[1] >= size:
        logs = logs.clone()
        for row, line in enumerate(tokens.tolist()):
            last = line[len(line) - size + 1:]
            banned = [line[i + size - 1] for i in range(len(line) - size + 1) if line[i : i + size - 1] == last]
            logs[row, banned] = -torch.inf
    return logs
