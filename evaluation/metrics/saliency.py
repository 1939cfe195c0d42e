"""Highlight detection as QVHighlights measures it: average precision and hit of saliency scores, a clip each 2 seconds.

Definitions as in the official evaluator (`standalone_eval` of jayleicn/moment_detr, Lei et al. 2021, arXiv 2107.09609),
whose average precision comes from video2gif (Gygli et al. 2016):

* Three annotators rate the relevant clips 0 to 4, all others count as 0. A clip is positive for one of them if rated at
  least 2 (Fair), 3 (Good) or 4 (Very Good).
* AP of a query and annotator: sort clips by score, clips of **equal score being one step**; the mean, over the steps
  that find a positive, of the best precision at that step or any later one. 0 without positives, 1 without negatives.
* A list of scores that is too long is cut; one too short is filled **with zeros**, which outrank negative scores.
* Hit@1: whether the clip of the highest score (the first of equals, in the list before it is cut) is positive for any
  annotator; a clip behind the video's end is a miss.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CLIP_SECONDS = 2
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""Least rating of a positive clip."""


def ratings(duration: float, clips: Sequence[int], scores: Sequence[Sequence[float]]) -> np.ndarray:
    """(clips of the video, annotators) ratings, 0 where the annotation names no clip.

    Raises `IndexError` where a clip lies behind the video's end, `ValueError` where clips and scores do not match.
    """
    out = np.zeros((int(duration / CLIP_SECONDS), 3))
    if len(clips):
        out[np.asarray(clips, np.int64)] = np.asarray(scores, np.float64)
    return out


def fitted(scores: Sequence[float] | np.ndarray, clips: int) -> np.ndarray:
    """Scores cut or filled with zeros to ``clips``."""
    out = np.zeros(clips)
    given = np.asarray(scores[:clips], np.float64)
    out[: len(given)] = given
    return out


def average_precision(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AP in 0 … 1: (rows, labels).

    ``scores`` (rows, clips); ``positive`` (rows, labels, clips) bool: several labellings of the same clips; ``counts``
    (rows,) how many clips each row has, what lies behind them being padding.
    """
    held = np.arange(scores.shape[1]) < counts[:, None]
    order = np.argsort(np.where(held, -scores, np.inf), axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, 1)
    labels = np.take_along_axis(positive & held[:, None], order[:, None], 2)
    found = labels.cumsum(2)
    # The last clip of each group of equal scores is where the group's precision is read.
    ends = np.arange(scores.shape[1]) == counts[:, None] - 1
    ends[:, :-1] |= held[:, 1:] & (ranked[:, :-1] != ranked[:, 1:])
    precision = np.where(ends[:, None], found / np.arange(1, scores.shape[1] + 1), 0.0)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    # A step finds a positive if more are found than at the end of the group before it.
    before = np.maximum.accumulate(np.where(ends[:, None], found, 0), axis=2)
    before = np.concatenate([np.zeros_like(before[..., :1]), before[..., :-1]], 2)
    step = ends[:, None] & (found > before)
    steps = step.sum(2)
    ap = np.divide((envelope * step).sum(2), steps, out=np.zeros(steps.shape), where=steps > 0)
    ap[(positive & held[:, None]).sum(2) == counts[:, None]] = 1.0
    return ap
