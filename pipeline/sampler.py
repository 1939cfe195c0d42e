"""The order of samples: a pure function of (seed, epoch, step, world size), so a loader's whole state is one integer.

The global order of an epoch depends on (seed, epoch) and on how it is asked to be shuffled, never on who reads it; a
step takes the next ``batch`` samples of it, and ranks share them out. Every rank takes the same number of steps, each
sample is seen once an epoch, and neither the number of ranks nor of workers changes the global order, so a run stopped
at any step goes on with any number of ranks. Nothing is dropped: the last batch is as long as what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.errors import HeedError

Shuffle = Literal["global", "local", "none"]

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 1 << 20
"""Hashes worked on at once, so that the temporary arrays stay small."""


@dataclass(frozen=True)
class Order:
    """How an epoch's samples are ordered."""

    # Another seed, another order; the same one gives the same order on every machine.
    seed: int = 0
    # global: any sample may come next. local: the shards in random order, samples shuffled among a window of them, for
    # a store that is far away or larger than memory. none: as they are listed.
    shuffle: Shuffle = "global"
    # local: shards whose samples are shuffled together.
    window: int = 4
    # Batches among which samples of similar length are put into one batch; 0 leaves lengths alone. 50 to 100 save
    # nearly all the padding and still mix batches well.
    buckets: int = 0

    def __post_init__(self) -> None:
        if self.shuffle not in ("global", "local", "none"):
            raise HeedError(f"There is no shuffle {self.shuffle!r}; there are global, local and none.")
        if self.window < 1 or self.buckets < 0:
            raise HeedError(f"A window has at least 1 shard and buckets at least 0 batches, not {self.window} and "
                            f"{self.buckets}.")


def sample_order(
    order: Order, epoch: int, samples: int, batch: int,
    shards: np.ndarray | None = None, lengths: np.ndarray | None = None,
) -> np.ndarray:
    """The order in which an epoch visits samples 0 … samples - 1, int64 (samples,).

    ``shards`` (samples,) says which shard each is read from, for a local shuffle; ``lengths`` (samples,) how long each
    is, for buckets. With buckets the order also depends on ``batch``, the samples of a step over all ranks.
    """
    if order.shuffle == "local" and shards is None:
        raise HeedError("A local shuffle must know the shard of each sample; name a store, or shuffle globally.")
    if order.buckets and lengths is None:
        raise HeedError("Length buckets must know the length of each sample; say how long they are, or set buckets 0.")
    if order.shuffle == "local" and shards is not None:
        visited = local_order(shards, order.seed, epoch, order.window)
    else:
        visited = epoch_order(samples, order.seed, epoch) if order.shuffle == "global" else np.arange(samples)
    if order.buckets and lengths is not None:
        start = None if order.shuffle == "none" else _start(order.seed, epoch)
        visited = _bucketed(visited, lengths, batch, order.buckets, start)
    return visited


def epoch_order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """0 … rows - 1 in the random order of an epoch; int64 (rows,).

    Takes 8 bytes a row and some megabytes: 80 MB and about a second for 10 million.
    """
    return _hash_order(rows, _start(seed, epoch))


def epoch_hashes(seed: int, epoch: int, numbers: np.ndarray) -> np.ndarray:
    """A random uint64 for each of ``numbers``, which follows from it, ``seed`` and ``epoch``."""
    return _hashes(_start(seed, epoch), numbers)


def local_order(shards: np.ndarray, seed: int, epoch: int, window: int) -> np.ndarray:
    """Samples shuffled so that few shards are read at a time: int64 (samples,), every sample once.

    Shards come in a random order, ``window`` of them at a time, and the samples of those are shuffled with each other;
    a window ends before the next begins.
    """
    if not len(shards):
        return np.arange(0)
    start = _start(seed, epoch)
    windows = np.empty(int(shards.max()) + 1, np.int32)
    windows[_hash_order(len(windows), start)] = np.arange(len(windows), dtype=np.int32) // window
    window_of = windows[shards]
    order = np.argsort(window_of, kind="stable")
    ends = np.cumsum(np.bincount(window_of))
    for number, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        inside = order[first:end]
        inside[:] = inside[_hash_order(len(inside), _mixed(start, number))]
    return order


def steps_per_epoch(rows: int, batch: int) -> int:
    """Number of steps an epoch takes, the short last one included."""
    return -(-rows // batch)


def batch_rows(order: np.ndarray, step: int, batch: int, rank: int = 0, world: int = 1) -> np.ndarray:
    """The samples that ``rank`` of ``world`` takes in a step: its share of order[step * batch : (step + 1) * batch].

    Shares differ by at most one; a rank's share of the last, short batch may be empty.
    """
    return np.array_split(order[step * batch : (step + 1) * batch], world)[rank]


def hash_integers(values: np.ndarray) -> np.ndarray:
    """Mix 64-bit integers (SplitMix64: Steele, Lea and Flood, 2014); the same on every machine and NumPy version."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX[0]
        z = (z ^ (z >> np.uint64(27))) * _MIX[1]
        return z ^ (z >> np.uint64(31))


def _start(seed: int, epoch: int) -> np.ndarray:
    """(1,) uint64 from which all of an epoch's hashes follow."""
    with np.errstate(over="ignore"):
        return hash_integers(hash_integers(np.array([seed])) + np.uint64(epoch))


def _mixed(start: np.ndarray, number: int) -> np.ndarray:
    return hash_integers(start ^ hash_integers(np.array([number])))


def _hashes(start: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """A hash for each number, all different: an odd factor, a sum and SplitMix64 are one-to-one."""
    with np.errstate(over="ignore"):
        return hash_integers(start + numbers.astype(np.uint64) * _GOLDEN)


def _hash_order(count: int, start: np.ndarray, kept: int = 64) -> np.ndarray:
    """Numbers 0 … count - 1 sorted by their hashes, (count,) int64: the argsort of `_hashes` in a third of its memory.

    Each number is put in the low bits of its own hash and the whole is sorted in place; numbers whose remaining high
    bits, at most ``kept``, are equal are put right after that.
    """
    low = np.uint64(max((count - 1).bit_length(), 64 - kept))
    packed = np.empty(count, np.uint64)
    for first in range(0, count, _CHUNK):
        numbers = np.arange(first, min(first + _CHUNK, count), dtype=np.uint64)
        packed[first : first + _CHUNK] = _hashes(start, numbers) >> low << low | numbers
    packed.sort()
    equal = [np.zeros(0, np.int64)]
    for first in range(0, count - 1, _CHUNK):
        high = packed[first : first + _CHUNK + 1] >> low
        equal.append(first + np.flatnonzero(high[1:] == high[:-1]))
    packed &= (np.uint64(1) << low) - np.uint64(1)
    for run in _runs(np.concatenate(equal)):
        inside = packed[run]
        inside[:] = inside[np.argsort(_hashes(start, inside))]
    return packed.view(np.int64)


def _runs(places: np.ndarray) -> list[slice]:
    """The places p, p + 1, … and the one after them, for each run of successive ``places``, ascending."""
    cuts = np.flatnonzero(np.diff(places) > 1) + 1
    return [slice(int(run[0]), int(run[-1]) + 2) for run in np.split(places, cuts) if len(run)]


def _bucketed(
    visited: np.ndarray, lengths: np.ndarray, batch: int, batches: int, start: np.ndarray | None
) -> np.ndarray:
    """``visited`` with samples of similar length in one batch.

    It is cut into stretches of ``batches`` batches; each is sorted by length, cut into batches, and those come in a
    random order (in that of their lengths where ``start`` is None). The short last batch stays as it is: sorted in, it
    would always hold the longest samples.
    """
    whole = len(visited) // batch * batch
    out = visited.copy()
    for number, first in enumerate(range(0, whole, batch * batches)):
        inside = out[first : min(first + batch * batches, whole)]
        inside[:] = inside[np.argsort(lengths[inside], kind="stable")]
        if start is not None:
            table = inside.reshape(-1, batch)
            inside[:] = table[_hash_order(len(table), _mixed(start, -1 - number))].reshape(-1)
    return out
