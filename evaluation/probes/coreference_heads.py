"""Visual coreference, head by head (VALUE §3.3): does a head's largest attention hit the linked partner?

Of each phrase that is linked to regions, in both directions:
- text->image: the attention of the phrase's pieces (pooled) on the regions is largest on a linked one;
- image->text: the attention of a linked region on the words is largest on a piece of the phrase. Special tokens do not
  take part, as the option `exclude` says. Where several share the top, the share of them that is right counts.
  ``chance`` is what attention that is the same everywhere would get. The best head is chosen on validation and told of
  on test, over all phrases and for each type. ``other phrase``: how often its largest attention hits a partner of
  another phrase of the same pair instead, which a head that merely likes annotated regions does as often.
"""

from __future__ import annotations

import numpy as np

from evaluation.bootstrap import Figure
from evaluation.probes.cache import LayerInfo, Part
from evaluation.probes.pairs import Pair
from evaluation.probes.phrases import pooled, positions
from evaluation.probes.result import HeadMap, Result, Row, head_map
from evaluation.probes.study import Study, counted

TITLE = "phrases and their regions: does one head's largest attention find the partner?"
VARIANTS = ("subject", "random")
NEEDS = "links"
DIRECTIONS = ("text->image", "image->text")
_TIE = 1e-6


def run(study: Study) -> Result:
    """The best head of each direction, overall and by type; a map of validation's figures."""
    rows: list[Row] = []
    maps: dict[str, HeadMap] = {}
    notes: list[str] = []
    for way in DIRECTIONS:
        layers = [layer for layer in study.cache.attended if way in layer.blocks]
        units = sum(len(link.regions) if way == DIRECTIONS[1] else 1
                    for pair in study.pairs.pairs for link in pair.links)
        heads = sum(layer.heads for layer in layers)
        if not layers or not units:
            notes.append(f"no layer has the block {way}")
            continue
        found = _measure(study, way, layers, units, heads)
        _tell(study, way, layers, found, rows, maps, notes)
    return Result("coreference-heads", study.variant, tuple(rows), maps, tuple(notes),
                  {"exclude": study.options.exclude, "pooling": study.options.pooling})


class _Found:
    """One direction's units: (units, heads) hits on the partner and on another phrase's, on the disk."""

    def __init__(self, study: Study, units: int, heads: int) -> None:
        def matrix(name: str) -> np.ndarray:
            return np.lib.format.open_memmap(study.scratch / f"{name}.npy", "w+", np.float16, (units, heads))

        self.right, self.other = matrix("right"), matrix("other")
        self.chance = np.full(units, np.nan)
        self.pair = np.zeros(units, np.int64)
        self.kind: list[str] = []


def _measure(study: Study, way: str, layers: list[LayerInfo], units: int, heads: int) -> _Found:
    found = _Found(study, units, heads)
    at = 0
    for part, pairs in study.parts():
        blocks = [part.block(layer.name, way) for layer in layers]
        spans = part.spans
        for row, (number, pair) in enumerate(zip(part.pairs.tolist(), pairs, strict=True)):
            weights = np.concatenate([block[row] for block in blocks])
            for attention, partner, other, kind in _units(part, row, pair, spans[row], weights, way, study):
                found.right[at], found.chance[at] = _hits(attention, partner), partner.mean()
                found.other[at] = _hits(attention, other) if other.any() else np.nan
                found.pair[at] = number
                found.kind.append(kind)
                at += 1
    found.right, found.other = found.right[:at], found.other[:at]
    found.chance, found.pair = found.chance[:at], found.pair[:at]
    return found


def _units(part: Part, row: int, pair: Pair, spans: np.ndarray, weights: np.ndarray, way: str, study: Study):  # type: ignore[no-untyped-def]
    """Each unit's attention (heads, keys), the partner (keys,) bool among them, other phrases' partners, the type."""
    words = counted(part.text_kinds[row], study.options.exclude)
    regions = counted(part.image_kinds[row], "both")
    pieces = [positions(spans, link) for link in pair.links]
    for number, link in enumerate(pair.links):
        if not len(pieces[number]):
            continue
        others = [i for i in range(len(pair.links)) if i != number]
        if way == DIRECTIONS[0]:
            partner = np.isin(np.arange(len(regions)), link.regions)
            other = np.isin(np.arange(len(regions)), [r for i in others for r in pair.links[i].regions]) & ~partner
            attention = pooled(weights[:, pieces[number]], 1, study.options.pooling)
            yield attention[:, regions], partner[regions], other[regions], link.kind
            continue
        for region in link.regions:
            named = [i for i, another in enumerate(pair.links) if region in another.regions]
            partner = np.isin(np.arange(len(words)), np.concatenate([pieces[i] for i in named]))
            rest = [pieces[i] for i in others if i not in named]
            other = np.isin(np.arange(len(words)), np.concatenate(rest) if rest else [])
            yield weights[:, region][:, words], partner[words], other[words], link.kind


def _hits(attention: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """(heads,): the share of the keys with the most attention that are the partner's."""
    top = attention >= attention.max(1, keepdims=True) * (1 - _TIE)
    return np.asarray((top & partner).sum(1) / top.sum(1))


def _tell(study: Study, way: str, layers: list[LayerInfo], found: _Found, rows: list[Row],
          maps: dict[str, HeadMap], notes: list[str]) -> None:
    split, image = study.split[found.pair], study.image[found.pair]
    names = [f"{layer.name} head {head + 1}" for layer in layers for head in range(layer.heads)]
    choosing, testing = np.flatnonzero(split == 1), np.flatnonzero(split == 2)
    if not len(choosing) or not len(testing):
        notes.append(f"{way}: no linked phrase in the images for {'choosing' if not len(choosing) else 'testing'}")
        return
    chosen = found.right[choosing].astype(np.float64).mean(0)
    best = int(chosen.argmax())
    ends = np.cumsum([layer.heads for layer in layers])[:-1]
    lines = [line.tolist() for line in np.split(chosen, ends)]
    maps[f"{way} validation"] = head_map([layer.name for layer in layers], lines, "right",
                                         float(np.nanmean(found.chance[choosing])))
    kinds = np.array(found.kind)
    right, other = (matrix[:, best].astype(np.float64) for matrix in (found.right, found.other))
    for kind in ["all", *sorted(set(kinds[testing]) - {""})]:
        here = testing if kind == "all" else testing[kinds[testing] == kind]

        def of(values: np.ndarray, here: np.ndarray = here) -> Figure:
            return study.figure(values[here], image[here])

        rows.append({"table": "coreference of single heads", "direction": way, "type": kind, "head": names[best],
                     "right": of(right), "chance": of(found.chance), "above chance": of(right - found.chance),
                     "other phrase": of(other), "over other phrase": of(right - other),
                     "mean of all heads": of(_mean_of_heads(found.right, here, len(right)))})


def _mean_of_heads(right: np.ndarray, here: np.ndarray, units: int) -> np.ndarray:
    """(units,): the mean over heads, where asked for."""
    found = np.full(units, np.nan)
    for first in range(0, len(here), 4096):
        some = here[first:first + 4096]
        found[some] = right[some].astype(np.float64).mean(1)
    return found
