"""Attention patterns, head by head: Clark et al. and Kovaleva et al. 2019, with the image's side added (VALUE §3.6).

Scores of a head, each a mean over pairs of what happens to its queries (words and regions; special tokens do not ask):
- special: the attention on [CLS], [SEP] and what a model adds of its own;
- vertical: the largest mean attention, over queries, on one word or region: a column of the map;
- diagonal: a word's attention on itself and its two neighbours, of words alone;
- within: the attention on words and regions of the query's own side; across: on the other side's; each modality counts
  half;
- entropy: of a query's attention over log of the keys: 1 is the same everywhere.

The class is the first that holds: "special" (special >= 0.5), "vertical" (vertical >= 0.5), "diagonal" (diagonal >=
0.5), "across" (across >= 0.5 and twice what uniform attention has, or 0.75), "block" (within >= 0.9 of within + across
and more than uniform attention has by a tenth), "broad" (entropy >= 0.9), else "mixed". Layers without a common softmax
are measured block by block, each its own softmax, so that "across" and "block" say nothing there and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.probes.cache import LayerInfo, Part, part_path
from evaluation.probes.result import HeadMap, Result, Row, head_map
from evaluation.probes.study import CLS, GLOBAL, PADDING, REGION, SEP, TASK, WORD, Study

TITLE = "which shape each head's attention has"
VARIANTS = ("subject", "random")
NEEDS = "pairs"
SCORES = ("special", "vertical", "diagonal", "within", "across", "entropy", "uniform across")
CLASSES = ("special", "vertical", "diagonal", "across", "block", "broad", "mixed")


@dataclass(frozen=True)
class _Group:
    """Blocks that share a softmax, with their layer: one map of heads."""

    name: str
    layer: LayerInfo
    blocks: tuple[str, ...]


def run(study: Study) -> Result:
    """How many heads of each class, every head's scores, a map for each score and of the classes."""
    groups = [group for layer in study.cache.attended for group in _groups(layer)]
    sums = [np.zeros((len(SCORES), group.layer.heads)) for group in groups]
    counts = [np.zeros((len(SCORES), group.layer.heads)) for group in groups]
    for part, _ in study.parts():
        for place, group in enumerate(groups):
            found = _scores(part, group)
            sums[place] += np.nansum(found, 0)
            counts[place] += np.isfinite(found).sum(0)
    rows: list[Row] = []
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [total / count for total, count in zip(sums, counts, strict=True)]
    classes = [[classify(dict(zip(SCORES, score.tolist(), strict=True)), group.layer.joint) for score in mean.T]
               for mean, group in zip(means, groups, strict=True)]
    every = [name for line in classes for name in line]
    rows += [{"table": "patterns", "class": name, "heads": every.count(name),
              "share": every.count(name) / max(1, len(every))} for name in CLASSES]
    for group, mean, line in zip(groups, means, classes, strict=True):
        rows += [{"table": "heads", "layer": group.name, "head": head + 1, "class": line[head],
                  **{score: float(mean[at, head]) for at, score in enumerate(SCORES[:-1])}}
                 for head in range(group.layer.heads)]
    names = [group.name for group in groups]
    maps: dict[str, HeadMap] = {
        score: head_map(names, [mean[at] for mean in means], score) for at, score in enumerate(SCORES[:-1])
        if any(np.isfinite(mean[at]).any() for mean in means)}
    maps["class"] = head_map(names, [[float(CLASSES.index(name)) for name in line] for line in classes], "class",
                             classes=CLASSES)
    return Result("patterns", study.variant, tuple(rows), maps, (), {"rule": " ".join((__doc__ or "").split())},
                  {"first-pair": mosaic(study, groups)})


def mosaic(study: Study, groups: Sequence[_Group]) -> np.ndarray:
    """The first pair's attention, (height, width, 3) uint8: a row for each layer (or block), a map for each head.

    Queries down, keys across, words before regions with a blue line between; the square root of a weight is its
    darkness, so that small ones are seen.
    """
    with Part(part_path(study.cache.path, 0)) as part:
        kinds = {"text": part.text_kinds[0] != PADDING, "image": part.image_kinds[0] != PADDING}
        lines = []
        for group in groups:
            ends = [block.split("->") for block in group.blocks]
            sides = [[side for side in ("text", "image") if any(end[at] == side for end in ends)] for at in (0, 1)]
            whole = np.concatenate([np.concatenate([
                part.block(group.layer.name, f"{query}->{key}")[0][:, kinds[query]][:, :, kinds[key]]
                for key in sides[1]], 2) for query in sides[0]], 1)
            pixels = np.repeat((255 * (1 - np.sqrt(whole)))[..., None], 3, 3).astype(np.uint8)
            for at, axis in ((0, 1), (1, 2)):
                if len(sides[at]) == 2:
                    pixels = np.insert(pixels, kinds["text"].sum(), 255, axis)
                    np.moveaxis(pixels, axis, 0)[kinds["text"].sum()] = (60, 110, 220)
            lines.append(np.concatenate(list(np.pad(pixels, ((0, 0), (0, 3), (0, 3), (0, 0)), constant_values=200)), 1))
    widest = max(line.shape[1] for line in lines)
    lines = [np.pad(line, ((0, 0), (0, widest - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    return np.concatenate(lines)


def classify(score: dict[str, float], joint: bool) -> str:
    """The class of a head with these scores, by the rule above; NaN holds for nothing."""
    across, within, uniform = score["across"], score["within"], score["uniform across"]
    rules = {
        "special": score["special"] >= 0.5, "vertical": score["vertical"] >= 0.5, "diagonal": score["diagonal"] >= 0.5,
        "across": joint and across >= min(0.75, max(0.5, 2 * uniform)),
        "block": joint and within + across > 0 and within / (within + across) >= max(0.9, 1.1 * (1 - uniform)),
        "broad": score["entropy"] >= 0.9}
    return next((name for name, holds in rules.items() if holds), "mixed")


def _groups(layer: LayerInfo) -> list[_Group]:
    if layer.joint:
        return [_Group(layer.name, layer, layer.blocks)]
    return [_Group(f"{layer.name} {block}", layer, (block,)) for block in layer.blocks]


def _scores(part: Part, group: _Group) -> np.ndarray:
    """(batch, scores, heads); NaN where a score says nothing."""
    kinds = {"text": part.text_kinds, "image": part.image_kinds}
    batch = len(part.text_kinds)
    found = np.full((batch, len(SCORES), group.layer.heads), np.nan)
    by_side: dict[str, dict[str, np.ndarray]] = {}
    for query in ("text", "image"):
        keys = [key for key in ("text", "image") if f"{query}->{key}" in group.blocks]
        if keys:
            weights = np.concatenate([part.block(group.layer.name, f"{query}->{key}") for key in keys], 3)
            by_side[query] = _side(weights, kinds[query], np.concatenate([kinds[key] for key in keys], 1), query)
    for at, name in enumerate(SCORES):
        values = [side[name] for side in by_side.values() if name in side]
        if name == "vertical" and values:
            asking = np.stack([side["asking"] for side in by_side.values()])
            columns = sum(side["columns"] * count[:, None, None]
                          for side, count in zip(by_side.values(), asking, strict=True)
                          ) / np.maximum(asking.sum(0), 1)[:, None, None] if group.layer.joint else None
            found[:, at] = columns.max(2) if columns is not None else values[0]
        elif values:
            some = [np.where(np.isfinite(value), value, 0) for value in values]
            number = sum(np.isfinite(value).astype(float) for value in values)
            found[:, at] = np.divide(sum(some), number, out=np.full(some[0].shape, np.nan), where=number > 0)
    return found


def _side(weights: np.ndarray, asking: np.ndarray, keys: np.ndarray, query: str) -> dict[str, np.ndarray]:
    """One side's scores (batch, heads), NaN for a pair without such queries."""
    kind = WORD if query == "text" else REGION
    real = (asking == kind).astype(np.float32)
    count = real.sum(1)
    over = np.where(count > 0, count, np.nan)[:, None]

    def mass(where: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("bhqk,bk,bq->bh", weights, where.astype(np.float32), real, optimize=True) / over)

    own, other = keys == kind, keys == (REGION if query == "text" else WORD)
    special = np.isin(keys, (CLS, SEP, TASK, GLOBAL))
    total = np.maximum((keys != PADDING).sum(1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        plogp = np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-30)), 0).sum(3)
        entropy = -np.einsum("bhq,bq->bh", plogp, real) / over / np.log(np.maximum(total, 2))[:, None]
    columns = np.einsum("bhqk,bq->bhk", weights, real) / np.maximum(count, 1)[:, None, None]
    columns = columns * (own | other)[:, None]
    found = {"special": mass(special), "vertical": np.where(count[:, None] > 0, columns.max(2), np.nan),
             "within": mass(own), "across": mass(other), "entropy": entropy, "columns": columns, "asking": count,
             "uniform across": np.broadcast_to((other.sum(1) / np.maximum((own | other).sum(1), 1))[:, None],
                                               entropy.shape)}
    if query == "text" and own.any():
        words = weights.shape[2]
        near = np.abs(np.arange(words)[:, None] - np.arange(weights.shape[3])[None]) <= 1
        near = near[None] & own[:, None]
        found["diagonal"] = np.einsum("bhqk,bqk,bq->bh", weights, near.astype(np.float32), real, optimize=True) / over
    return found
