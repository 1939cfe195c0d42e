"""A stream: store x captions x sampler -> padded batches with masks, read ahead of whoever takes them.

Reading is one copy from the mapped shards into the batch, in the store's own number type; it needs no loader
processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.sampler import batch_rows, epoch_order, steps_per_epoch
from pipeline.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class CaptionBatch:
    """Some captions with their images' regions."""

    features: np.ndarray
    """(batch, longest, d) in the store's number type, zero behind each image's last region."""
    regions: np.ndarray
    """(batch,) int64: number of regions of each image."""
    captions: Sequence[Caption]


class CaptionStream:
    """Captions joined to a store by key; a sample is one caption with its image's regions.

    Captions whose image the store does not hold are left out, their keys kept in ``missing``; `HeedError` where none is
    left.
    """

    def __init__(
        self, store: Store, captions: Sequence[Caption], batch: int, seed: int = 0, shuffle: bool = True
    ) -> None:
        self.store, self.batch, self.seed, self.shuffle = store, batch, seed, shuffle
        rows = [store.find(caption.key) for caption in captions]
        self.captions = [caption for caption, row in zip(captions, rows, strict=True) if row is not None]
        self.rows = np.array([row for row in rows if row is not None], np.int64)
        self.missing = sorted({c.key for c, row in zip(captions, rows, strict=True) if row is None})
        if not self.captions:
            example = f", for example {captions[0].key!r}" if captions else ""
            raise HeedError(f"None of the {len(captions)} captions' images{example} is in {store.path}; its keys look "
                            f"like {next(iter(store.keys()), None)!r}.")

    def __len__(self) -> int:
        """Batches an epoch."""
        return steps_per_epoch(len(self.captions), self.batch)

    def batches(self, epoch: int = 0, first: int = 0, rank: int = 0, world: int = 1) -> Iterator[CaptionBatch]:
        """Batches ``first`` … of an epoch, for one rank of ``world``; the next is read while one is used."""
        order = epoch_order(len(self.captions), self.seed, epoch, self.shuffle)

        def read(step: int) -> CaptionBatch:
            chosen = batch_rows(order, step, self.batch, rank, world)
            features, lengths = self.store.gather("features", self.rows[chosen])
            return CaptionBatch(features, lengths, [self.captions[i] for i in chosen])

        return read_ahead(read, range(first, len(self)))


def read_ahead(read: Callable[[int], T], steps: Sequence[int], depth: int = 2) -> Iterator[T]:
    """``read(step)`` for each step in order, up to ``depth`` of them computed in a thread before they are taken."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(read, step) for step in steps[:depth]]
        for step in [*steps[depth:], *[None] * min(depth, len(steps))]:
            done = waiting.pop(0)
            if step is not None:
                waiting.append(pool.submit(read, step))
            yield done.result()
