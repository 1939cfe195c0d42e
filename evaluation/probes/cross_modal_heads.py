"""Cross-modal heads (VALUE §3.3): heads whose tokens look across to the other modality.

A head counts on a pair, regions to words, when at least one region puts more than half of its attention on words; the
figure of a head is how often that happens. It grows with the number of regions, so beside it stands the mean over
tokens: how many of a pair's regions do so. Both in the other direction too, which the paper leaves out. Attention is
taken as it is; which special tokens count as text is an option (`exclude`): what goes to the others is on neither side.

Only where words and regions share a softmax: in a two-stream model's cross layers all attention goes across.
"""

from __future__ import annotations

import numpy as np

from evaluation.bootstrap import figure
from evaluation.probes.cache import LayerInfo, Part
from evaluation.probes.result import HeadMap, Result, Row, head_map
from evaluation.probes.study import REGION, WORD, Study, counted

TITLE = "heads that look across to the other modality"
VARIANTS = ("subject", "random", "mismatched")
NEEDS = "pairs"
DIRECTIONS = {"image->text": REGION, "text->image": WORD}
STATISTICS = ("any token", "mean over tokens")
OFTEN = 0.5
"""A head is a cross-modal one where its figure is above this, as in the paper's count."""


def run(study: Study) -> Result:
    """A row for each direction and statistic; a map for each."""
    layers = [layer for layer in study.cache.attended if layer.joint]
    choices = {"exclude": study.options.exclude, "majority": study.options.majority}
    if not layers:
        return Result("cross-modal-heads", study.variant, notes=(
            "not defined here: no layer lets words and regions share a softmax, so cross attention goes across whole",),
            choices=choices)
    heads = sum(layer.heads for layer in layers)
    sums = np.zeros((len(DIRECTIONS), len(STATISTICS), len(study.images), heads))
    counts = np.zeros((len(DIRECTIONS), len(study.images)))
    for part, _ in study.parts():
        image = study.image[part.pairs]
        for way, block in enumerate(DIRECTIONS):
            looking, over = _over(part, layers, block, study)
            some = looking.any(1)
            np.add.at(counts[way], image[some], 1)
            share = (over * looking[:, None]).sum(2) / np.maximum(looking.sum(1), 1)[:, None]
            for at, found in enumerate(((over & looking[:, None]).any(2), share)):
                np.add.at(sums[way, at], image[some], found[some].astype(float))
    rows: list[Row] = []
    maps: dict[str, HeadMap] = {}
    names = [f"{layer.name} head {head + 1}" for layer in layers for head in range(layer.heads)]
    for way, block in enumerate(DIRECTIONS):
        for at, statistic in enumerate(STATISTICS):
            drawn = study.weights @ counts[way]
            samples = study.weights @ sums[way, at] / np.where(drawn > 0, drawn, np.nan)[:, None]
            n, images = int(counts[way].sum()), int((counts[way] > 0).sum())
            top = int(samples[0].argmax())
            rows.append({"table": "cross-modal heads", "direction": block, "statistic": statistic,
                         "highest": figure(samples[:, top], n, images), "highest head": names[top],
                         "lowest": figure(samples.min(1), n, images), "mean": figure(samples.mean(1), n, images),
                         "share of heads above 0.5": figure((samples > OFTEN).mean(1), n, images), "heads": heads})
            ends = np.cumsum([layer.heads for layer in layers])[:-1]
            lines = [line.tolist() for line in np.split(samples[0], ends)]
            maps[f"{block} {statistic}"] = head_map([layer.name for layer in layers], lines,
                                                    "share of pairs" if at == 0 else "share of tokens")
    return Result("cross-modal-heads", study.variant, tuple(rows), maps, (), choices)


def _over(part: Part, layers: list[LayerInfo], block: str, study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Who looks, (batch, queries) bool, and with which heads mostly across, (batch, heads, queries) bool."""
    query, key = block.split("->")
    kinds = {"text": part.text_kinds, "image": part.image_kinds}
    looking = kinds[query] == DIRECTIONS[block]
    seen = counted(kinds[key], study.options.exclude).astype(np.float32)
    over = [np.einsum("bhqk,bk->bhq", part.block(layer.name, block), seen) > study.options.majority for layer in layers]
    return looking, np.concatenate(over, 1)
