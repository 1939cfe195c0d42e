"""How concentrated attention is: entropy and sparsity of many distributions at once, of any lengths, laid end to end.

- entropy: -sum p log p / log n; 1 is uniform, 0 a single key (Shannon 1948, scaled);
- gini: Gini's index of the weights, 0 uniform, 1 - 1/n a single key (Hurley and Rickard, "Comparing measures of
  sparsity", IEEE Trans. Inf. Theory 2009, which finds it the best behaved);
- hoyer: (sqrt(n) - L1/L2) / (sqrt(n) - 1), 0 uniform, 1 a single key (Hoyer, JMLR 2004);
- largest: the largest weight;
- keys_90: the share of keys that the largest weights need to sum to 0.9.

A distribution over one key has no entropy and no sparsity: NaN, and it does not count.
"""

from __future__ import annotations

import numpy as np

MOST = 0.9
_TIE = 1e-6


def concentration(weights: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Figures (queries,) float64 of distributions laid end to end.

    ``weights`` (sum of lengths,), not negative; each is scaled to sum to 1. ``lengths`` (queries,), all at least 1.
    One that is all zero counts as uniform.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    query = np.repeat(np.arange(len(lengths)), lengths)
    p = _scaled(weights, starts, lengths, query)
    n = lengths.astype(np.float64)
    many = n > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.add.reduceat(np.where(p > 0, -p * np.log(np.where(p > 0, p, 1)), 0.0), starts) / np.log(n)
        hoyer = (np.sqrt(n) - 1 / np.sqrt(np.add.reduceat(p * p, starts))) / (np.sqrt(n) - 1)
    falling = p[np.lexsort((-p, query))]
    place = np.arange(len(p)) - starts[query]
    # Gini: 1 - sum over the k-th smallest of p (n - k + 1/2) 2/n; the k-th smallest is the (n - k)-th largest from 0.
    gini = 1 - 2 * np.add.reduceat(falling * (place + 0.5), starts) / n
    before = np.cumsum(falling) - falling
    before -= before[starts][query]
    needed = np.add.reduceat((before < MOST - 1e-9).astype(np.float64), starts)
    found = {"entropy": entropy, "gini": gini, "hoyer": hoyer, "largest": falling[starts], "keys_90": needed / n}
    return {name: np.where(many, values, np.nan) for name, values in found.items()}


def js_similarity(first: np.ndarray, second: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """1 - Jensen-Shannon divergence in bits, (queries,): 1 for equal distributions, 0 for disjoint ones (Lin 1991).

    Both (sum of lengths,) laid end to end, over the same keys.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    query = np.repeat(np.arange(len(lengths)), lengths)
    p, q = (_scaled(weights, starts, lengths, query) for weights in (first, second))
    middle = (p + q) / 2
    divergence = sum(np.add.reduceat(_times_log2(one, middle), starts) for one in (p, q)) / 2
    return 1 - np.clip(divergence, 0, 1)


def top_agreement(first: np.ndarray, second: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Probability (queries,) that both have the same key on top; of keys that tie for it one is drawn."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    query = np.repeat(np.arange(len(lengths)), lengths)
    tops = [weights >= np.maximum.reduceat(weights, starts)[query] * (1 - _TIE) for weights in (first, second)]
    sizes = [np.add.reduceat(top.astype(np.float64), starts) for top in tops]
    return np.add.reduceat((tops[0] & tops[1]).astype(np.float64), starts) / (sizes[0] * sizes[1])


def _scaled(weights: np.ndarray, starts: np.ndarray, lengths: np.ndarray, query: np.ndarray) -> np.ndarray:
    p = weights.astype(np.float64)
    sums = np.add.reduceat(p, starts)
    return np.where(sums[query] > 0, p / np.where(sums > 0, sums, 1)[query], 1 / lengths[query])


def _times_log2(p: np.ndarray, middle: np.ndarray) -> np.ndarray:
    positive = p > 0
    return np.where(positive, p * np.log2(np.where(positive, p, 1) / np.where(positive, middle, 1)), 0.0)
