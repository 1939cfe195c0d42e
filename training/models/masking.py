"""What pre-training hides: pure functions of a random generator, so of (seed, epoch, step).

Words as in BERT (Devlin et al. 2019, §3.1): of those to be told 80 % become [MASK], 10 % another word, 10 % stay.
Regions: UNITER hides all that are to be told; LXMERT hides 80 %, gives 10 % another region's features, leaves 10 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

HIDE, REPLACE = 0.8, 0.9
"""Below the first a chosen place is masked, below the second replaced, above it left."""
LEFT = -1
"""Target of a place that is not to be told."""


def choose(valid: np.ndarray, rate: float, rng: np.random.Generator, least_one: bool) -> np.ndarray:
    """(n, places) bool: each place of ``valid`` by itself with probability ``rate``.

    With ``least_one`` a row in which nothing was drawn has one of its valid places, if it has any.
    """
    chosen = valid & (rng.random(valid.shape) < rate)
    order = np.where(valid, rng.random(valid.shape), 2.0)
    if least_one:
        empty = ~chosen.any(1) & valid.any(1)
        chosen[empty, order[empty].argmin(1)] = True
    return chosen


def mask_words(
    words: np.ndarray, chosen: np.ndarray, mask: int, pieces: tuple[int, int], rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(ids to show, targets), both (n, words) int64; ``pieces``: first and one past the last that may replace one."""
    fate = rng.random(words.shape)
    other = rng.integers(*pieces, size=words.shape)
    shown = np.where(chosen & (fate < HIDE), mask, words)
    shown = np.where(chosen & (fate >= HIDE) & (fate < REPLACE), other, shown)
    return shown, np.where(chosen, words, LEFT)


def mask_regions(
    features: np.ndarray, valid: np.ndarray, chosen: np.ndarray, all_hidden: bool, rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(features to show (n, regions, dim), regions to hide (n, regions) bool).

    Unless ``all_hidden``, a tenth of ``chosen`` shows the features of any region of the batch and a tenth its own.
    """
    if all_hidden:
        return features, chosen.copy()
    fate = rng.random(chosen.shape)
    replaced = chosen & (fate >= HIDE) & (fate < REPLACE)
    pool = np.argwhere(valid)
    drawn = pool[rng.integers(len(pool), size=int(replaced.sum()))]
    shown = features.copy()
    shown[replaced] = features[drawn[:, 0], drawn[:, 1]]
    return shown, chosen & (fate < HIDE)


def overlapping(boxes: np.ndarray, chosen: np.ndarray, most: float) -> np.ndarray:
    """(n, regions) bool: those whose IoU with a chosen one of their image is above ``most``; boxes (n, regions, 4)."""
    corner = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    far = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    shared = (far - corner).clip(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)
    union = area[:, :, None] + area[:, None, :] - shared
    over = shared > most * np.maximum(union, 1e-9)
    return (over & chosen[:, None, :]).any(-1)


def exchange(keys: Sequence[str], share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) int64: whose caption each sample is given; for about ``share`` of them one of another image, else its own.

    ``keys`` are the samples' images. One whose batch has no other image keeps its caption.
    """
    images = np.unique(np.asarray(keys), return_inverse=True)[1]
    whose = np.arange(len(images))
    for place in np.flatnonzero(rng.random(len(images)) < share).tolist():
        others = np.flatnonzero(images != images[place])
        if len(others):
            whose[place] = rng.choice(others)
    return whose
