"""The order of samples: a pure function of (seed, epoch, step, world size), so a loader's whole state is one integer.

The global order of an epoch depends on (seed, epoch) alone; a step takes the next ``batch`` samples of it, and ranks
share them out. Every rank takes the same number of steps, each sample is seen once an epoch, and neither the number of
ranks nor of workers changes the global order. Nothing is dropped: the last batch is as long as what is left.
"""

from __future__ import annotations

import numpy as np

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash_integers(values: np.ndarray) -> np.ndarray:
    """Mix 64-bit integers (SplitMix64: Steele, Lea and Flood, 2014); the same on every machine and NumPy version."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX[0]
        z = (z ^ (z >> np.uint64(27))) * _MIX[1]
        return z ^ (z >> np.uint64(31))


def epoch_order(rows: int, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray:
    """The order in which an epoch visits samples 0 … rows - 1; int64 (rows,)."""
    if not shuffle:
        return np.arange(rows)
    with np.errstate(over="ignore"):
        start = hash_integers(hash_integers(np.array([seed])) + np.uint64(epoch))
        ranks = hash_integers(start + np.arange(rows, dtype=np.uint64) * _GOLDEN)
    return np.argsort(ranks, kind="stable")


def steps_per_epoch(rows: int, batch: int) -> int:
    """Number of steps an epoch takes, the short last one included."""
    return -(-rows // batch)


def batch_rows(order: np.ndarray, step: int, batch: int, rank: int = 0, world: int = 1) -> np.ndarray:
    """The samples that ``rank`` of ``world`` takes in a step: its share of order[step * batch : (step + 1) * batch].

    Shares differ by at most one; a rank's share of the last, short batch may be empty.
    """
    return np.array_split(order[step * batch : (step + 1) * batch], world)[rank]
