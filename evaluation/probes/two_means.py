"""k-means with k = 2, many small sets at once.

Lloyd's algorithm needs only inner products: with the Gram matrix G of a set, the squared distance of point i to the
mean of a cluster m (a 0/1 vector of c points) is G[i,i] - 2 (G m)[i] / c + m'Gm / c^2. So a set of 51 tokens costs
51 x 51 numbers whatever their width, and all its starts run together.
"""

from __future__ import annotations

import numpy as np

STEPS = 100
"""Most steps; Lloyd's algorithm has ended long before on sets of a few dozen points."""


def two_means(points: np.ndarray, starts: int = 10, init: str = "k-means++", seed: int = 0) -> tuple[np.ndarray, float]:
    """Cluster points (n, d): (labels (n,) int64 of 0 and 1, sum of squared distances to their means).

    Of ``starts`` starts the one with the least sum is kept. ``init`` "k-means++" draws the second centre by squared
    distance from the first (Arthur & Vassilvitskii 2007), "random" anyhow. One point, or points that are all the same,
    are one cluster.
    """
    n = len(points)
    centred = points - points.mean(0, dtype=np.float64)
    gram = centred @ centred.T
    square = gram.diagonal()
    if n < 2 or square.sum() <= 1e-12 * max(1.0, float((points.astype(np.float64)**2).sum())):
        return np.zeros(n, np.int64), 0.0
    rng = np.random.default_rng(seed)
    first = rng.integers(n, size=starts)
    far = np.maximum(square[None] - 2 * gram[first] + square[first][:, None], 0)
    if init == "random":
        far = np.ones_like(far)
    far[np.arange(starts), first] = 0
    total = far.sum(1, keepdims=True)
    far = np.where(total > 0, far, 1.0)
    reached = np.cumsum(far, 1)
    second = (reached > rng.random((starts, 1)) * reached[:, -1:]).argmax(1)
    distance = np.stack([square[None] - 2 * gram[centre] + square[centre][:, None] for centre in (first, second)], 2)
    labels = distance.argmin(2)
    for _ in range(STEPS):
        distance = _distances(gram, square, labels)
        found = distance.argmin(2)
        if (found == labels).all():
            break
        labels = found
    distance = _distances(gram, square, labels)
    inertia = distance.min(2).sum(1)
    best = int(inertia.argmin())
    return labels[best], float(max(inertia[best], 0.0))


def _distances(gram: np.ndarray, square: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(starts, n, 2) squared distances of each point to the two means; infinite to that of an empty cluster."""
    found = []
    for cluster in (0, 1):
        member = (labels == cluster).astype(gram.dtype)
        size = member.sum(1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            product = member @ gram / size
            spread = (product * member).sum(1, keepdims=True) / size
        found.append(np.where(size > 0, square[None] - 2 * product + spread, np.inf))
    return np.stack(found, 2)
