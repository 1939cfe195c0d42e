"""Which word pieces a phrase is, and what several pieces' numbers come to."""

from __future__ import annotations

import numpy as np

from evaluation.probes.pairs import Link


def positions(spans: np.ndarray, link: Link) -> np.ndarray:
    """Text positions (m,) int64 of the pieces whose characters overlap the phrase; empty where the text was cut."""
    return np.flatnonzero((spans[:, 0] < link.end) & (spans[:, 1] > link.start))


def pooled(values: np.ndarray, axis: int, how: str) -> np.ndarray:
    """One value for several pieces' along an axis: their "mean", "max", or the "first"."""
    if how == "first":
        return np.asarray(values.take(0, axis))
    return np.asarray(values.max(axis) if how == "max" else values.mean(axis))
