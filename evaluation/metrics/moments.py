"""Moment retrieval as QVHighlights measures it: mean average precision of windows, and recall of the first one.

Definitions as in the official evaluator (`standalone_eval` of jayleicn/moment_detr, Lei et al. 2021, arXiv 2107.09609):

* A query's predictions are cut to the first ten **in the order of the list**, then sorted by score, equal scores in
  list order. Each takes the true window of the largest IoU that no better prediction has taken, if that IoU reaches the
  threshold; average precision is the area under the precision envelope (VOC 2010), recall over all true windows.
* mAP is the mean over queries that predict anything at all: **a query without predictions is left out**, not a zero.
* R1 looks at the first window **of the list**, whatever its score, and at the true window nearest to it. Its IoU is
  overlap / hull there, which is the IoU where they overlap and 0 where they do not.
* 0 / 0 (a reversed window as long as a true one beside it) is no number; the official code takes that for a match in
  mAP and for 0 in R1. So does this.

Everything is computed for all queries and thresholds at once. True windows whose IoU with a prediction is equal are
taken last first, as a stable sort gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU thresholds of the averages."""
MOST = 10
"""Predictions of a query that count."""
RANGES = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0), "full": None}
"""Lengths of true windows in seconds, (more than, up to); full takes every window of every length."""


@dataclass(frozen=True)
class Windows:
    """Windows of many queries, padded to one length."""

    values: np.ndarray
    """(queries, most, 2) float64 seconds, or with a third column of scores; zeros behind a query's last window."""
    counts: np.ndarray
    """(queries,) int64."""

    @staticmethod
    def of(rows: Sequence[Sequence[Sequence[float]]], width: int) -> Windows:
        """Pad lists of windows, each of ``width`` numbers."""
        counts = np.array([len(row) for row in rows], np.int64)
        values = np.zeros((len(rows), int(counts.max(initial=0)), width))
        flat = [number for row in rows for window in row for number in window]
        values[_held(counts, values.shape[1])] = np.array(flat, np.float64).reshape(-1, width)
        return Windows(values, counts)

    @property
    def mask(self) -> np.ndarray:
        """(queries, most) bool: where there is a window."""
        return _held(self.counts, self.values.shape[1])

    def within(self, low: float, high: float) -> Windows:
        """Only windows longer than ``low`` and up to ``high`` seconds, in their order."""
        length = self.values[..., 1] - self.values[..., 0]
        keep = self.mask & (length > low) & (length <= high)
        counts = keep.sum(1)
        values = np.zeros((len(keep), int(counts.max(initial=0)), self.values.shape[2]))
        values[_held(counts, values.shape[1])] = self.values[keep]
        return Windows(values, counts)


def _held(counts: np.ndarray, most: int) -> np.ndarray:
    """(queries, most) bool: the first ``counts`` places of each row."""
    return np.arange(most) < counts[:, None]


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of windows (…, 2); NaN for 0 / 0."""
    overlap = np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0])
    overlap = np.maximum(overlap, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return overlap / (first[..., 1] - first[..., 0] + second[..., 1] - second[..., 0] - overlap)


def average_precision(predicted: Windows, truth: Windows) -> np.ndarray:
    """AP of each query at each of `THRESHOLDS`, in 0 … 1: (queries, 10).

    ``predicted`` has scores; only the first `MOST` windows of each list count. NaN for a query without predictions or
    without true windows.
    """
    queries, wanted = len(truth.counts), np.array(THRESHOLDS)[None, :, None]
    counts = np.minimum(predicted.counts, MOST)
    windows = predicted.values[:, :MOST]
    held = _held(counts, windows.shape[1])
    order = np.argsort(np.where(held, -windows[..., 2], np.inf), axis=1, kind="stable")
    windows = np.take_along_axis(windows, order[..., None], 1)
    # Last first, so that argmax finds the last of several equal ones. No number counts as a match: above everything.
    overlap = iou(windows[:, :, None, :2], truth.values[:, None, ::-1])
    overlap = np.where(np.isnan(overlap), np.inf, overlap)
    free = np.broadcast_to(truth.mask[:, None, ::-1], (queries, len(THRESHOLDS), overlap.shape[2])).copy()
    hits = np.zeros((queries, len(THRESHOLDS), windows.shape[1]))
    for place in range(windows.shape[1] if overlap.shape[2] else 0):
        best = np.where(free, overlap[:, None, place], -np.inf)
        chosen = best.argmax(2)[..., None]
        hit = (np.take_along_axis(best, chosen, 2) >= wanted) & held[:, None, place, None]
        np.put_along_axis(free, chosen, np.take_along_axis(free, chosen, 2) & ~hit, 2)
        hits[..., place] = hit[..., 0]
    found = hits.cumsum(2)
    # Precision behind a query's last prediction is 0, so that the envelope, a maximum from the right, ignores it.
    precision = np.where(held[:, None], found / np.arange(1, windows.shape[1] + 1), 0.0)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = found / truth.counts[:, None, None]
    steps = np.diff(recall, axis=2, prepend=0.0)
    ap = (np.where(steps > 0, steps, 0.0) * envelope).sum(2)
    ap[(counts == 0) | (truth.counts == 0)] = np.nan
    return ap


def first_iou(predicted: Windows, truth: Windows) -> np.ndarray:
    """Overlap / hull of each query's first predicted window with the true window nearest to it: (queries,), 0 … 1.

    0 for a query without predictions, which the official code cannot evaluate; NaN for one without true windows.
    """
    queries = len(truth.counts)
    if not truth.values.shape[1]:
        return np.full(queries, np.nan)
    first = predicted.values[:, 0, :2] if predicted.values.shape[1] else np.zeros((queries, 2))
    overlap = iou(first[:, None], truth.values)
    overlap = np.where(truth.mask, np.where(np.isnan(overlap), np.inf, overlap), -np.inf)
    nearest = truth.values[np.arange(queries), overlap.argmax(1)]
    common = np.maximum(np.minimum(first[:, 1], nearest[:, 1]) - np.maximum(first[:, 0], nearest[:, 0]), 0)
    hull = np.maximum(first[:, 1], nearest[:, 1]) - np.minimum(first[:, 0], nearest[:, 0])
    out = np.divide(common, hull, out=np.zeros(queries), where=hull != 0)
    out[predicted.counts == 0] = 0
    out[truth.counts == 0] = np.nan
    return out
