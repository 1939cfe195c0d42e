"""Confidence intervals by resampling whole images (the cluster bootstrap), for every figure heed reports.

Captions and phrases of one image are alike, so images are drawn, with replacement, and an image brings all that is its
own (Field & Welsh 2007; the interval is Efron's percentile interval, 1979). What is resampled are the queries: the
candidates they are ranked among stay as they are.

A *sample array* has one number a resample, and the figure on all images in place 0: sample arrays of the same weights
can be added and divided, so that a sum or ratio of figures has an interval too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """A measured number and its confidence interval."""

    value: float
    """On all the data; NaN where there is nothing to measure."""
    low: float
    """Lower end; NaN where fewer than two images make an interval meaningless."""
    high: float
    """Upper end, likewise."""
    n: int
    """How many queries, captions or phrases it is computed over."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with null for NaN (which JSON does not know)."""
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if math.isnan(v) else v for k, v in values.items()} | {"n": self.n}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Figure:
        """Read what `to_json` gives."""
        value, low, high = (math.nan if data[k] is None else float(data[k]) for k in ("value", "low", "high"))
        return cls(value, low, high, int(data["n"]))

    def __str__(self) -> str:
        if math.isnan(self.low):
            return "–" if math.isnan(self.value) else _short(self.value)
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}]"


def _short(number: float) -> str:
    """Four digits, at most two of them after the point; never in scientific notation."""
    if abs(number) >= 1000:
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def resample(images: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Draw how often each image is in each resample: (1 + resamples, images) float64, row 0 all ones."""
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([np.ones((1, images)), draws])


def mean(weights: np.ndarray, values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Sample array of the mean of ``values`` (n,), each of which belongs to image ``image[i]``.

    NaN where a resample has drawn no image that has a value.
    """
    images = weights.shape[1]
    sums = np.bincount(image, weights=values, minlength=images)
    counts = np.bincount(image, minlength=images)
    total = weights @ counts
    return np.divide(weights @ sums, total, out=np.full(len(weights), np.nan), where=total > 0)


def median(weights: np.ndarray, values: np.ndarray, image: np.ndarray, chunk: int = 64) -> np.ndarray:
    """Sample array of the median of ``values`` (n,); of an even number of values, the mean of the middle two."""
    order = np.argsort(values, kind="stable")
    ordered, of = values[order].astype(np.float64), image[order]
    out = np.full(len(weights), np.nan)
    for first in range(0, len(weights), chunk):
        drawn = np.cumsum(weights[first:first + chunk][:, of], axis=1)  # how many draws up to each value
        for row, cumulative in enumerate(drawn):
            total = int(cumulative[-1]) if len(cumulative) else 0
            if total:
                middle = np.searchsorted(cumulative, [(total - 1) // 2, total // 2], side="right")
                out[first + row] = ordered[middle].mean()
    return out


def figure(samples: np.ndarray, n: int, images: int, level: float = LEVEL) -> Figure:
    """Make a `Figure` of a sample array: the value is place 0, the interval the percentiles of the rest."""
    rest = samples[1:][np.isfinite(samples[1:])]
    if images < 2 or not len(rest):
        return Figure(float(samples[0]), math.nan, math.nan, n)
    low, high = np.percentile(rest, [50 * (1 - level), 50 * (1 + level)])
    return Figure(float(samples[0]), float(low), float(high), n)
