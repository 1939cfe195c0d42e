"""Modality importance (VALUE §3.2): what share of a head's attention goes to words, to regions, to special tokens.

    I(M, head) = sum over tokens i of modality M of the attention of [CLS] on i

The three masses of a head sum to 1. Whether special tokens count as text is an option (`exclude`): they draw much
attention, and would dominate the text's. ``text share`` is text / (text + image) of what is counted; ``ratio`` is its
mean over that of attention that is the same everywhere, n_text / (n_text + n_image): 1 is what uniform attention has.
Beside [CLS], whose attention the paper reads, the same is measured of words and of regions as those who look.

Only where words and regions share a softmax: in two-stream models each side's attention sums to 1 by construction.
"""

from __future__ import annotations

import numpy as np

from evaluation.bootstrap import Figure, figure, mean
from evaluation.probes.cache import LayerInfo, Part
from evaluation.probes.result import HeadMap, Result, Row, head_map
from evaluation.probes.study import CLS, PADDING, REGION, WORD, Study, counted

TITLE = "how much attention words and regions receive, head by head"
VARIANTS = ("subject", "random", "mismatched")
NEEDS = "pairs"
LOOKING = {"[CLS]": CLS, "words": WORD, "regions": REGION}
MASSES = ("text", "image", "special")


def run(study: Study) -> Result:
    """A row for each layer and who looks; maps for each head."""
    layers = [layer for layer in study.cache.attended if layer.joint]
    choices = {"exclude": study.options.exclude}
    if not layers:
        return Result("importance", study.variant, notes=(
            "not defined here: no layer lets words and regions share a softmax, so each side's attention sums to 1",),
            choices=choices)
    by_layer = np.full((len(study.pairs), len(LOOKING), len(layers), len(MASSES) + 1), np.nan, np.float32)
    by_head = [np.zeros((len(LOOKING), layer.heads, len(MASSES) + 1)) for layer in layers]
    seen = [np.zeros((len(LOOKING), layer.heads, len(MASSES) + 1)) for layer in layers]
    uniform = np.full(len(study.pairs), np.nan)
    for part, _ in study.parts():
        kinds = np.concatenate([part.text_kinds, part.image_kinds], 1)
        words = part.text_kinds.shape[1]
        groups = _groups(kinds, words, study.options.exclude)
        sizes = groups[:2].sum(2)
        uniform[part.pairs] = sizes[0] / np.maximum(sizes.sum(0), 1)
        for place, layer in enumerate(layers):
            masses = _masses(part, layer, groups)
            for who, kind in enumerate(LOOKING.values()):
                looking = (kinds == kind).astype(np.float32)
                count = looking.sum(1)
                found = np.einsum("bhqm,bq->bhm", masses, looking)[count > 0] / count[count > 0, None, None]
                found = np.concatenate([found, _share(found)[..., None]], 2)
                by_layer[part.pairs[count > 0], who, place] = _mean(found)
                by_head[place][who] += np.nansum(found, 0)
                seen[place][who] += np.isfinite(found).sum(0)
    rows: list[Row] = []
    maps: dict[str, HeadMap] = {}
    names = [layer.name for layer in layers]
    for who, looking_name in enumerate(LOOKING):
        for place, name in enumerate(names):
            masses = by_layer[:, who, place]
            rows.append({"table": "importance", "looking": looking_name, "layer": name,
                         **{mass: study.figure(masses[:, at], study.image) for at, mass in enumerate(MASSES)},
                         "text share": study.figure(masses[:, -1], study.image),
                         "uniform": study.figure(uniform, study.image), "ratio": _ratio(study, masses[:, -1], uniform)})
        label = looking_name.strip("[]")
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [total[who] / count[who] for total, count in zip(by_head, seen, strict=True)]
        for at, mass in enumerate(MASSES if looking_name == "[CLS]" else ()):
            maps[f"{mass} from {label}"] = head_map(names, [line[:, at] for line in means], "attention")
        maps[f"text share from {label}"] = head_map(names, [line[:, -1] for line in means], "text / (text + image)",
                                                    float(np.nanmean(uniform)))
    return Result("importance", study.variant, tuple(rows), maps, (), choices)


def _masses(part: Part, layer: LayerInfo, groups: np.ndarray) -> np.ndarray:
    """(batch, heads, queries, 3): each query's attention on the groups (3, batch, keys); queries text first."""
    weights = []
    for side in ("text", "image"):
        blocks = [part.block(layer.name, f"{side}->{key}") for key in ("text", "image")
                  if f"{side}->{key}" in layer.blocks]
        weights.append(np.einsum("bhqk,mbk->bhqm", np.concatenate(blocks, 3), groups.astype(np.float32)))
    return np.concatenate(weights, 2)


def _groups(kinds: np.ndarray, words: int, exclude: str) -> np.ndarray:
    """(3, batch, positions) bool: counted text, counted image, and the rest of what is not padding."""
    kept = counted(kinds, exclude)
    side = np.arange(kinds.shape[1]) >= words
    return np.stack([kept & ~side, kept & side, ~kept & (kinds != PADDING)])


def _share(masses: np.ndarray) -> np.ndarray:
    """(…,) text / (text + image) of masses (…, 3); NaN where neither receives anything."""
    both = masses[..., 0] + masses[..., 1]
    return np.divide(masses[..., 0], both, out=np.full(both.shape, np.nan, masses.dtype), where=both > 0)


def _mean(found: np.ndarray) -> np.ndarray:
    """(pairs, 4): mean over heads (pairs, heads, 4), NaN left out."""
    some = np.isfinite(found)
    total = np.where(some, found, 0).sum(1)
    return np.divide(total, some.sum(1), out=np.full(total.shape, np.nan, found.dtype), where=some.any(1))


def _ratio(study: Study, share: np.ndarray, uniform: np.ndarray) -> Figure:
    """Mean share over mean uniform share, both resampled together."""
    both = np.isfinite(share) & np.isfinite(uniform)
    image = study.image[both]
    above, below = (mean(study.weights, values[both], image) for values in (share, uniform))
    samples = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return figure(samples, int(both.sum()), len(np.unique(image)))
