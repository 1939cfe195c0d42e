"""Image-caption retrieval: recall at 1, 5 and 10, median and mean rank, rsum; any number of captions an image.

Definitions as in SCAN's evaluation (Lee et al. 2018, arXiv 1803.08024, `evaluation.py` of kuanghuei/SCAN):
ranks count from 0; an image's rank (i2t, image to text) is that of the best of its captions among all captions, a
caption's (t2i) that of its image among all images; recall@k is the percentage of ranks below k; the median rank is
floor(median) + 1, the mean rank mean + 1; rsum is the sum of the six recalls.

Ties: published code takes argsort's order, which depends on where the right answer stands in the file. Here a wrong
candidate that scores the same as the right one counts as ranked before it. Without ties both give the same; a model
that scores everything alike gets recall 0 rather than luck.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.bootstrap import RESAMPLES, Figure, figure, mean, median, resample
from features.errors import HeedError

KS = (1, 5, 10)
FOLD = 1000
"""Images in a fold of COCO's 1K protocol."""
PROTOCOLS = ("all", "1k")


def ranks(scores: np.ndarray, own: np.ndarray, chunk: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Rank the right answers, counting from 0.

    ``scores`` (images, captions), higher = better match; ``own`` (captions,) the index of each caption's image.
    Returns int64 i2t ranks (images,), -1 for an image that has no caption, and t2i ranks (captions,).
    Nothing is sorted: a rank is the number of wrong candidates that score at least as much.
    """
    images, captions = scores.shape
    right = scores[own, np.arange(captions)]
    best = np.full(images, -np.inf, scores.dtype)
    np.maximum.at(best, own, right)
    t2i = np.empty(captions, np.int64)
    i2t = -np.bincount(own[right >= best[own]], minlength=images)  # its own captions do not stand before it
    for first in range(0, captions, chunk):
        block = scores[:, first:first + chunk]
        t2i[first:first + chunk] = np.count_nonzero(block >= right[first:first + chunk], axis=0) - 1
        i2t += np.count_nonzero(block >= best[:, None], axis=1)
    i2t[np.bincount(own, minlength=images) == 0] = -1
    return i2t, t2i


def retrieval(
    scores: np.ndarray,
    own: Sequence[int] | np.ndarray,
    protocol: str = "all",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Figure]:
    """Figures of a score matrix, each with a bootstrap interval by image.

    ``scores`` (images, captions), higher = better match; ``own`` (captions,) the index of each caption's image.
    Protocol "all" ranks among everything (COCO 5K, Flickr30K 1K); "1k" cuts the images into folds of 1,000 in their
    order, ranks within each, and gives the mean over folds (COCO's five-fold 1K protocol).
    Names: t2i_r1, t2i_r5, t2i_r10, t2i_median, t2i_mean, the same for i2t, and rsum. Recalls are in percent.
    """
    own = np.asarray(own, np.int64)
    if scores.ndim != 2 or own.shape != scores.shape[1:]:
        raise HeedError(f"scores of shape {scores.shape} need one image index a caption, not {own.shape}")
    if not own.size or own.min() < 0 or own.max() >= len(scores):
        raise HeedError(f"{own.size} captions name images outside the {len(scores)} that were scored")
    folds = []
    for number, members in enumerate(_folds(len(scores), protocol)):
        inside = np.flatnonzero((own >= members.start) & (own < members.stop))
        if not inside.size:
            raise HeedError(f"none of the images {members.start} to {members.stop - 1} has a caption")
        part = scores[members.start:members.stop]
        part = part if len(members) == len(scores) else part[:, inside]
        folds.append(_samples(*ranks(part, own[inside] - members.start), own[inside] - members.start,
                              resamples, seed + number))
    captioned = len(np.unique(own))
    counts = {"t2i": len(own), "i2t": captioned, "rsu": len(own)}
    return {
        name: figure(np.mean([fold[name] for fold in folds], axis=0), counts[name[:3]], captioned) for name in folds[0]
    }


def _folds(images: int, protocol: str) -> list[range]:
    """Return the images of each fold."""
    if protocol not in PROTOCOLS:
        raise HeedError(f"retrieval protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    if protocol == "all":
        return [range(images)]
    if images % FOLD:
        raise HeedError(f"protocol 1k needs a multiple of {FOLD:,} images and these are {images:,}: use protocol all")
    return [range(first, first + FOLD) for first in range(0, images, FOLD)]


def _samples(i2t: np.ndarray, t2i: np.ndarray, own: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Sample arrays (`evaluation.bootstrap`) of one fold's figures."""
    # Only images with captions are drawn: the others ask nothing and are only candidates.
    captioned, of_caption = np.unique(own, return_inverse=True)
    weights = resample(len(captioned), resamples, seed)
    out: dict[str, np.ndarray] = {}
    for name, rank, image in (("t2i", t2i, of_caption), ("i2t", i2t[captioned], np.arange(len(captioned)))):
        for k in KS:
            out[f"{name}_r{k}"] = mean(weights, 100.0 * (rank < k), image)
        out[f"{name}_median"] = np.floor(median(weights, rank, image)) + 1
        out[f"{name}_mean"] = mean(weights, rank.astype(np.float64), image) + 1
    out["rsum"] = sum((out[f"{name}_r{k}"] for name in ("t2i", "i2t") for k in KS), np.zeros(len(weights)))
    return out


def chance(own: np.ndarray, images: int) -> dict[str, float]:
    """Recalls, in percent, that random scores without ties are expected to get among all ``images``."""
    captions = len(own)
    counts = np.bincount(own, minlength=images)
    counts = counts[counts > 0].astype(np.float64)
    out = {f"t2i_r{k}": 100.0 * min(k, images) / images for k in KS}
    for k in KS:
        # None of the first k places is one of the image's m captions: prod over j < k of (M - m - j) / (M - j).
        missed = np.ones(len(counts))
        for j in range(min(k, captions)):
            missed *= np.clip(captions - counts - j, 0, None) / (captions - j)
        out[f"i2t_r{k}"] = float(100.0 * (1 - missed).mean())
    return out | {"rsum": sum(out.values())}
