"""What several seeds tell: a mean with an interval, a paired test, and a correction for many tests.

The unit is a run: figures of one run's test split are one number here, whatever its own bootstrap interval says, as the
question is what another training would give.

The test is the paired t-test (Student 1908) on differences between two variants' runs of the same seed: a seed decides
the order of samples and the first weights of what the variants share, so that pairing takes out what they have in
common. It supposes that the differences are normally distributed. A test without that supposition (Wilcoxon's signed
ranks, flipping signs) cannot find anything at the 5 % level with five seeds, whatever the figures: its smallest
two-sided p is 2 / 2^5 = 0.0625; `sign_flip` gives it all the same, for sweeps of more seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
MOST_FLIPPED = 16
"""Differences up to which all sign flips are tried (2^16)."""


@dataclass(frozen=True)
class Mean:
    """A mean over seeds."""

    value: float
    low: float
    """Lower end of Student's interval; NaN with fewer than two seeds."""
    high: float
    sd: float
    """Standard deviation over seeds, with n - 1; NaN with fewer than two."""
    n: int


@dataclass(frozen=True)
class Paired:
    """A variant's figures less the baseline's, over the seeds both have."""

    difference: Mean
    p: float
    """Two-sided; NaN with fewer than two seeds, 1 where every difference is zero."""


def mean_interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> Mean:
    """Mean of the finite ``values`` and its interval mean ± t s / sqrt(n), with t of n - 1 degrees of freedom."""
    from scipy.special import stdtrit  # the quantiles of Student's t; scipy.stats takes long to import

    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return Mean(math.nan, math.nan, math.nan, math.nan, 0)
    mean = float(finite.mean())
    if len(finite) < 2:
        return Mean(mean, math.nan, math.nan, math.nan, 1)
    sd = float(finite.std(ddof=1))
    half = float(stdtrit(len(finite) - 1, 0.5 + level / 2)) * sd / math.sqrt(len(finite))
    return Mean(mean, mean - half, mean + half, sd, len(finite))


def paired(values: dict[int, float], baseline: dict[int, float]) -> Paired:
    """Compare two variants, each seed -> figure, on the seeds they share."""
    from scipy.special import stdtr

    seeds = sorted(set(values) & set(baseline))
    differences = np.array([values[seed] - baseline[seed] for seed in seeds], np.float64)
    differences = differences[np.isfinite(differences)]
    found = mean_interval(differences)
    if found.n < 2:
        return Paired(found, math.nan)
    if found.sd == 0:  # no spread at all: t is infinite, or 0/0 where nothing differs
        return Paired(found, 1.0 if found.value == 0 else 0.0)
    t = found.value / (found.sd / math.sqrt(found.n))
    return Paired(found, float(2 * stdtr(found.n - 1, -abs(t))))


def sign_flip(differences: Sequence[float]) -> float:
    """Exact two-sided p of the mean difference under independent flips of the signs (Fisher 1935, §21).

    Of at most 16 differences; NaN for more, or for none.
    """
    values = np.asarray(differences, np.float64)
    if not 0 < len(values) <= MOST_FLIPPED:
        return math.nan
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    means = np.abs(signs @ values)
    return float((means >= means[0] * (1 - 1e-12)).mean())


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): adjusted p-values, in the order given. NaN stays and does not count."""
    values = np.asarray(p, np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    adjusted = values.copy()
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, float(values[place]) * (len(order) - rank)))
        adjusted[place] = largest
    return adjusted.tolist()
