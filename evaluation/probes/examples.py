"""Examples of a linear probe: two tokens of a pair, what they are, and in which draw of negatives they take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.probes.pairs import Pair
from evaluation.probes.phrases import positions
from evaluation.probes.study import Study
from features.boxes import encode_vilbert, iou


@dataclass(frozen=True)
class Examples:
    """n examples in the order of their pairs."""

    pair: np.ndarray
    """(n,) int64."""
    first: np.ndarray
    """(n,) int64: number of the phrase among the pair's links, or of a region."""
    second: np.ndarray
    """(n,) int64: number of a region."""
    related: np.ndarray
    """(n,) bool: linked, or in a relation; the others are negatives."""
    kind: np.ndarray
    """(n,) str: the phrase's type, or the relation's predicate; "" for negatives of relations."""
    group: np.ndarray
    """(n,) str: what a shuffled label depends on: the phrase's words, or the two regions' names."""
    draw: np.ndarray
    """(n,) int64: -1 takes part in every draw, otherwise in that one."""

    def __len__(self) -> int:
        return len(self.pair)

    def each(self) -> np.ndarray:
        """(n,) str: a name of its own for every example."""
        return np.arange(len(self)).astype(str)

    def of(self, pair: int) -> slice:
        """The examples of a pair."""
        return slice(*np.searchsorted(self.pair, [pair, pair + 1]).tolist())


class _Collector:
    def __init__(self) -> None:
        self.columns: list[tuple[int, int, int, bool, str, str, int]] = []

    def examples(self) -> Examples:
        columns = list(zip(*self.columns, strict=True)) or [()] * 7
        types = (np.int64, np.int64, np.int64, bool, str, str, np.int64)
        return Examples(*(np.array(column, kind) for column, kind in zip(columns, types, strict=True)))


def coreference_examples(study: Study) -> Examples:
    """Each linked phrase with each of its regions, and in each draw as many regions that it does not name.

    Negatives are other annotated regions of the pair (`negatives`; any region where there is none), none that overlaps
    a linked one by an IoU of 0.5. Pairs are taken in order up to the option `most_examples`.
    """
    found = _Collector()
    most = study.options.most_examples
    for part in study.cache:
        for number, spans in zip(part.pairs.tolist(), part.spans, strict=True):
            pair = study.pairs.pairs[number]
            for place, link in enumerate(pair.links):
                if not len(positions(spans, link)):
                    continue
                words = pair.caption[link.start:link.end].lower()
                free = unlinked(pair, link.regions, study.options.negatives)
                if not len(free):
                    continue
                found.columns += [(number, place, region, True, link.kind, words, -1) for region in link.regions]
                for draw in range(study.options.seeds):
                    rng = np.random.default_rng([draw, number, place])
                    drawn = rng.choice(free, len(link.regions), replace=len(free) < len(link.regions))
                    found.columns += [(number, place, int(region), False, link.kind, words, draw) for region in drawn]
            if len(found.columns) >= most * (1 + study.options.seeds) / 2:
                return found.examples()
    return found.examples()


def unlinked(pair: Pair, linked: Sequence[int], which: str) -> np.ndarray:
    """Regions that a phrase does not name and that overlap none it names."""
    overlap = iou(pair.boxes, pair.boxes[list(linked)]).max(1)
    free = overlap < 0.5
    if which == "annotated" and (free & pair.annotated).any():
        free &= pair.annotated
    return np.flatnonzero(free)


def relation_examples(study: Study) -> Examples:
    """Ordered pairs of annotated regions in a relation, and in each draw as many of the image in none, either way.

    Of each image at most `relations_each` relations, drawn; the first caption's reading is taken. An image with fewer
    unrelated pairs than related ones brings as many of both to the question whether they are related.
    """
    found = _Collector()
    seen: set[str] = set()
    for number, pair in enumerate(study.pairs.pairs):
        if pair.key in seen or not pair.relations:
            continue
        seen.add(pair.key)
        triples = {(a, b): predicate for a, predicate, b in reversed(pair.relations)}
        drawn = np.random.default_rng([0, number]).permutation(len(triples))[:study.options.relations_each]
        ends = list(triples)
        for i in drawn.tolist():
            a, b = ends[i]
            found.columns.append((number, a, b, True, triples[a, b], _names(pair, a, b), -1))
        places = np.flatnonzero(pair.annotated).tolist()
        apart = [(a, b) for a in places for b in places if a != b and (a, b) not in triples and (b, a) not in triples]
        for draw in range(study.options.seeds):
            order = np.random.default_rng([1 + draw, number]).permutation(len(apart))[:len(drawn)]
            found.columns += [(number, *apart[i], False, "", _names(pair, *apart[i]), draw) for i in order.tolist()]
        if len(found.columns) >= study.options.most_examples * (1 + study.options.seeds) / 2:
            break
    return found.examples()


def _names(pair: Pair, first: int, second: int) -> str:
    return f"{pair.names[first]} / {pair.names[second]}" if pair.names else ""


def bag_of_words(texts: Sequence[str], train: np.ndarray, most: int = 500) -> np.ndarray:
    """(n, words) float32 counts of the words that are most frequent in the training texts (``train`` (n,) bool)."""
    counts: dict[str, int] = {}
    for text, learn in zip(texts, train.tolist(), strict=True):
        for word in text.lower().split() if learn else ():
            counts[word] = counts.get(word, 0) + 1
    known = {word: place for place, word in enumerate(sorted(counts, key=lambda word: (-counts[word], word))[:most])}
    found = np.zeros((len(texts), max(1, len(known))), np.float32)
    for row, text in zip(found, texts, strict=True):
        for word in text.lower().split():
            if word in known:
                row[known[word]] += 1
    return found


def box_numbers(study: Study, examples: Examples, both: bool) -> np.ndarray:
    """(n, 5) of the second token's box, edges and area as shares of the image; with ``both`` (n, 16) of two boxes:
    theirs, then how their centres lie to each other, the ratios of their sides, and their overlap."""
    rows = []
    for number, a, b in zip(examples.pair.tolist(), examples.first.tolist(), examples.second.tolist(), strict=True):
        pair = study.pairs.pairs[number]
        second = encode_vilbert(pair.boxes[[b]], pair.width, pair.height)[0]
        if not both:
            rows.append(second)
            continue
        first = encode_vilbert(pair.boxes[[a]], pair.width, pair.height)[0]
        middle = [(box[:2] + box[2:4]) / 2 for box in (first, second)]
        sides = [np.maximum(box[2:4] - box[:2], 1e-6) for box in (first, second)]
        apart = middle[1] - middle[0]
        rows.append(np.concatenate([first, second, apart, np.abs(apart).sum(keepdims=True),
                                    np.log(sides[1] / sides[0]), iou(pair.boxes[[a]], pair.boxes[[b]])[0]]))
    return np.array(rows, np.float32).reshape(len(examples), 16 if both else 5)
