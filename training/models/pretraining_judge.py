"""What a pre-trained model tells of held-out captions: matching, words and regions, each asked by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from evaluation.pretraining import PretrainingRow, Told
from pipeline.annotations import Caption
from pipeline.padded_rows import read_rows
from pipeline.store import Store
from training.models.masking import LEFT
from training.models.pretraining_batch import FIELDS, UNKNOWN, Lesson, Lessons
from training.models.region_heads import tell_regions

AT_ONCE = 128
"""Captions judged at once."""
Pair = tuple[str, str]
"""True and told."""
MATCHING, WORDS, REGIONS = np.eye(3, dtype=bool)[:, :, None]


def rows(
    network: nn.Module, lessons: Lessons, store: Store, captions: Sequence[Caption], classes: Sequence[str], seed: int,
    device: Any,
) -> Iterator[PretrainingRow]:
    """One row a caption, in their order; the other image and what is hidden follow from ``seed``.

    The same words are hidden with the own and with the other image, the same regions with the own caption and with one
    of another image.
    """
    others = mismatched([caption.key for caption in captions], seed)
    for first in range(0, len(captions), AT_ONCE):
        own = list(captions[first:first + AT_ONCE])
        other = [captions[place] for place in others[first:first + AT_ONCE].tolist()]

        def told(which: np.ndarray, about: Sequence[Caption], images: Sequence[Caption],
                 first: int = first) -> tuple[Lesson, Any]:
            found = [store.find(caption.key) or 0 for caption in images]
            rng = np.random.default_rng([seed, 0, first, 0])
            everything = np.ones(len(about), bool)
            lesson = lessons.make(about, read_rows(store, FIELDS, np.array(found)), rng,
                                  np.repeat(which, len(about), 1), everything).to(device)
            return lesson, network(lesson.shown, None)

        match, match_other = (told(MATCHING, own, images)[1].match.float().tolist() for images in (own, other))
        words = [_words(network, lessons, *told(WORDS, own, images)) for images in (own, other)]
        regions = [_regions(network, classes, *told(REGIONS, about, own)) for about in (own, other)]
        for n, caption in enumerate(own):
            yield PretrainingRow(caption.id, caption.key, other[n].key, match[n], match_other[n],
                                 _both(words[0][n], words[1][n]), _both(regions[0][n], regions[1][n]))


def mismatched(keys: Sequence[str], seed: int) -> np.ndarray:
    """(n,) int64: for each caption the place of one of another image, drawn evenly."""
    images = np.unique(np.asarray(keys), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    found = rng.integers(len(images), size=len(images))
    while (same := images[found] == images).any():
        found[same] = rng.integers(len(images), size=int(same.sum()))
    return found


def _both(own: list[Pair], other: list[Pair]) -> tuple[Told, ...]:
    return tuple((truth, told, told_other) for (truth, told), (_, told_other) in zip(own, other, strict=True))


def _words(network: nn.Module, lessons: Lessons, lesson: Lesson, reading: Any) -> list[list[Pair]]:
    """Of each sample the (true, told) pieces."""
    chosen = lesson.words != LEFT
    told = network.word_scores(reading.text[chosen]).argmax(-1)
    return _of_samples(chosen, lesson.words[chosen], told, lessons.names)


def _regions(network: nn.Module, classes: Sequence[str], lesson: Lesson, reading: Any) -> list[list[Pair]]:
    chosen = lesson.regions & (lesson.classes != UNKNOWN)
    told = tell_regions(network, reading.image[chosen])[1].argmax(-1)
    return _of_samples(chosen, lesson.classes[chosen], told, dict(enumerate(classes)))


def _of_samples(chosen: Tensor, truth: Tensor, told: Tensor, names: Mapping[int, str]) -> list[list[Pair]]:
    found: list[list[Pair]] = [[] for _ in range(len(chosen))]
    for sample, true, said in zip(chosen.nonzero()[:, 0].tolist(), truth.tolist(), told.tolist(), strict=True):
        found[sample].append((names[true], names[said]))
    return found
