"""Agreement of two partitions into two: normalised and adjusted mutual information (Vinh, Epps & Bailey 2010)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln


def normalised(first: np.ndarray, second: np.ndarray, by: str = "arithmetic") -> float:
    """Mutual information of two 0/1 vectors over the mean ("arithmetic", "geometric", "min", "max") of their entropies.

    1 for one partition under two names, 0 where one says nothing about the other, or where one of them is a single
    cluster (its entropy being 0).
    """
    n, a, b, both = _counts(first, second)
    entropies = _entropy(n, a), _entropy(n, b)
    if min(entropies) == 0:
        return 0.0
    return float(_information(n, a, b, np.array([both]))[0] / _mean(*entropies, by))


def adjusted(first: np.ndarray, second: np.ndarray, by: str = "arithmetic") -> float:
    """(I - E[I]) / (mean of the entropies - E[I]), E over partitions with these sizes: 0 by chance, 1 at best."""
    n, a, b, both = _counts(first, second)
    entropies = _entropy(n, a), _entropy(n, b)
    if min(entropies) == 0:
        return 0.0
    expected = _expected(n, a, b)
    below = _mean(*entropies, by) - expected
    return float((_information(n, a, b, np.array([both]))[0] - expected) / below) if abs(below) > 1e-12 else 0.0


def _counts(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int, int]:
    return len(first), int(first.sum()), int(second.sum()), int((first & second).sum())


def _mean(first: float, second: float, by: str) -> float:
    return {"arithmetic": (first + second) / 2, "geometric": float(np.sqrt(first * second)),
            "min": min(first, second), "max": max(first, second)}[by]


def _entropy(n: int, ones: int) -> float:
    return float(sum(-part / n * np.log(part / n) for part in (ones, n - ones) if part))


def _information(n: int, a: int, b: int, both: np.ndarray) -> np.ndarray:
    """Mutual information in nats where a and b of n points are 1, and ``both`` (m,) of them in both."""
    found = np.zeros(len(both))
    for cell, row, column in ((both, a, b), (a - both, a, n - b), (b - both, n - a, b),
                              (n - a - b + both, n - a, n - b)):
        inside = cell > 0
        found[inside] += cell[inside] / n * np.log(n * cell[inside] / (row * column))
    return found


@lru_cache(maxsize=100_000)
def _expected(n: int, a: int, b: int) -> float:
    """Its mean under the hypergeometric law of the number in both."""
    both = np.arange(max(0, a + b - n), min(a, b) + 1)
    chance = np.exp(_choose(a, both) + _choose(n - a, b - both) - _choose(n, np.array(b)))
    return float((chance * _information(n, a, b, both)).sum())


def _choose(n: int, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
