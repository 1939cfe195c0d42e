"""A stream: samples x stores x an order -> padded batches, read ahead of whoever takes them.

A sample is whatever a task learns from: a caption, a question, a query over a video. Each store is joined to it by a
key; several stores (regions and OCR regions; video, audio and text features) are several joins:

    stream = Stream(captions, {"regions": Join(store, attrgetter("key"))}, batch=128, order=Order(seed=1))
    for batch in stream.epoch(3).batches(first=120):
        batch.samples, batch["regions"]["features"].values, batch["regions"]["features"].mask

Reading is one copy from the mapped shards into the batch, in the store's own number type; it needs no loader
processes. An epoch is a sequence, so that a loader which wants processes can have them: epoch[step] is a pure function.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from features.errors import HeedError
from pipeline.ahead import read_ahead
from pipeline.padded_rows import read_rows, row_lengths
from pipeline.padding import Padded
from pipeline.places import Place
from pipeline.sampler import Order, batch_rows, sample_order, steps_per_epoch
from pipeline.store import Store

T = TypeVar("T")

LOOK_AHEAD = 8192
"""Samples that a remote store is told of before they are read."""


@dataclass(frozen=True)
class Join(Generic[T]):
    """A store in which every sample has a row."""

    store: Store
    key: Callable[[T], str]
    """Gives a sample's key in the store. `operator.attrgetter` can be sent to another process, a lambda cannot."""
    fields: Sequence[str] = ("features",)
    """What is read of the row."""
    missing: Literal["drop", "keep"] = "drop"
    """What becomes of a sample whose key the store has not: left out, or kept with nothing (lengths 0)."""
    span: Callable[[T], tuple[int, int]] | None = None
    """Gives the elements start to stop - 1 that a sample is about, where it is about a part of the row: a window of a
    long video. Ragged fields only."""


@dataclass(frozen=True)
class Missing:
    """The samples that have no row in a store."""

    path: Place
    keys: Sequence[str]
    """The keys that the store has not, each once, sorted."""
    samples: int
    """Number of samples that have them."""
    total: int
    """Number of all samples."""
    dropped: bool

    def __str__(self) -> str:
        done = "are left out" if self.dropped else "go without"
        return (f"{self.samples} of {self.total} samples have no row in {self.path} and {done} ({len(self.keys)} keys, "
                f"for example {self.keys[0]!r})")


@dataclass(frozen=True)
class Batch(Generic[T]):
    """Some samples and what the stores hold of them."""

    samples: Sequence[T]
    stores: Mapping[str, Mapping[str, Padded]]
    """Store's name in the stream -> field -> values with lengths."""

    def __getitem__(self, store: str) -> Mapping[str, Padded]:
        return self.stores[store]


class Stream(Generic[T]):
    """Samples joined to stores by key.

    ``missing`` says for each store which samples it lacks, in words by `str`; `HeedError` where no sample is left.
    ``length``, for buckets, gives a sample's length, or names the store whose rows' number of elements is meant.
    ``shards``, for a local shuffle, says which shard each sample is read from where that is not the first store's.
    """

    def __init__(
        self, samples: Sequence[T], joins: Mapping[str, Join[T]], batch: int, order: Order | None = None,
        length: Callable[[T], float] | str | None = None, shards: np.ndarray | None = None,
    ) -> None:
        if batch < 1:
            raise HeedError(f"A batch holds at least 1 sample, not {batch}.")
        if not len(samples):
            raise HeedError("There are no samples to stream.")
        for name, join in joins.items():
            _check_fields(name, join)
        self.samples, self.joins, self.batch, self.order = samples, joins, batch, order or Order()
        found = {name: _find(join, samples) for name, join in joins.items()}
        self.missing = {name: lacking for name, join in joins.items()
                        if (lacking := _lacking(join, samples, found[name]))}
        held = [found[name] >= 0 for name, join in joins.items() if join.missing == "drop"]
        self.kept = np.flatnonzero(np.logical_and.reduce(held)) if held else np.arange(len(samples))
        """Places in ``samples`` of those that are streamed."""
        if not len(self.kept):
            raise HeedError(self._nothing_left())
        self.rows = {name: rows[self.kept] for name, rows in found.items()}
        """For each store the rows of the streamed samples; -1 where it has none."""
        self.shards = shards[self.kept] if shards is not None else self._shards()
        self.lengths = self._lengths(length)

    def __len__(self) -> int:
        """Batches an epoch."""
        return steps_per_epoch(len(self.kept), self.batch)

    def epoch(self, number: int = 0, rank: int = 0, world: int = 1) -> Epoch[T]:
        """One epoch, for one rank of ``world``."""
        order = sample_order(self.order, number, len(self.kept), self.batch, self.shards, self.lengths)
        return Epoch(self, order, rank, world)

    def _shards(self) -> np.ndarray | None:
        """Of each streamed sample the shard of its row in the first store; the first shard where it has none."""
        for name, join in self.joins.items():
            ends = np.cumsum([record.rows for record in join.store.records])
            return np.searchsorted(ends, np.maximum(0, self.rows[name]), side="right")
        return None

    def _lengths(self, length: Callable[[T], float] | str | None) -> np.ndarray | None:
        if length is None:
            return None
        if not isinstance(length, str):
            return np.array([length(self.samples[i]) for i in self.kept.tolist()])
        if length not in self.joins:
            raise HeedError(f"The stream has no store {length!r} whose lengths could be used; it has "
                            f"{', '.join(self.joins) or 'none'}.")
        lengths = row_lengths(self.joins[length].store, self.joins[length].fields[0])
        return np.append(lengths, 0)[self.rows[length]]

    def _nothing_left(self) -> str:
        lacks = "; ".join(
            f"{name} lacks {lacking.samples}, for example {lacking.keys[0]!r} (the keys of {lacking.path} look like "
            f"{next(iter(self.joins[name].store.keys()), None)!r})" for name, lacking in self.missing.items())
        return f"None of the {len(self.samples)} samples has a row in every store: {lacks}."


@dataclass(frozen=True)
class Epoch(Generic[T]):
    """The batches of an epoch, one for each step, that one rank takes.

    ``epoch[step]`` depends on nothing but the step. A `torch.utils.data.DataLoader` takes an epoch as its data set,
    with ``batch_size=None`` and ``sampler=range(first, len(epoch))``, and gives the same batches with any number of
    workers.
    """

    stream: Stream[T]
    order: np.ndarray
    """(samples,) int64: the streamed samples in the order of all ranks together."""
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, step: int) -> Batch[T]:
        """The batch of a step; of the short last one a rank may have no sample."""
        if not 0 <= step < len(self):
            raise IndexError(f"The epoch has {len(self)} steps; there is no step {step}.")
        stream = self.stream
        chosen = batch_rows(self.order, step, stream.batch, self.rank, self.world)
        samples = [stream.samples[i] for i in stream.kept[chosen].tolist()]
        stores = {}
        for name, join in stream.joins.items():
            rows = stream.rows[name][chosen]
            if _is_remote(join.store):
                coming = self.order[step * stream.batch : step * stream.batch + LOOK_AHEAD]
                join.store.prefetch(stream.rows[name][coming])
                _check_keys(join, samples, rows)
            spans = [join.span(sample) for sample in samples] if join.span else None
            stores[name] = read_rows(join.store, join.fields, rows, spans)
        return Batch(samples, stores)

    def batches(self, first: int = 0, depth: int = 2) -> Generator[Batch[T], None, None]:
        """Batches ``first``, ``first`` + 1, …; up to ``depth`` are read in a thread before they are taken."""
        return read_ahead(self.__getitem__, range(first, len(self)), depth)


def _is_remote(store: Store) -> bool:
    return not isinstance(store.path, Path)


def _find(join: Join[T], samples: Sequence[T]) -> np.ndarray:
    """The row of each sample in a store, (samples,) int64; -1 where it has none.

    Of a remote store no shard is fetched for that; `_check_keys` makes up for it when rows are read.
    """
    known: dict[str, int] = {}
    unread = _is_remote(join.store)
    rows = np.empty(len(samples), np.int64)
    for place, sample in enumerate(samples):
        key = join.key(sample)
        if key not in known:
            row = join.store.find(key, unread)
            known[key] = -1 if row is None else row
        rows[place] = known[key]
    return rows


def _check_keys(join: Join[T], samples: Sequence[T], rows: np.ndarray) -> None:
    """`HeedError` where a row was found by the hash of another key: once in 10^13 look-ups among a million rows."""
    for sample, row in zip(samples, rows.tolist(), strict=True):
        if row >= 0 and join.store.key(row) != join.key(sample):
            raise HeedError(f"{join.store.path} has no {join.key(sample)!r}, though its row {row} has the same hash; "
                            "leave that sample out.")


def _lacking(join: Join[T], samples: Sequence[T], rows: np.ndarray) -> Missing | None:
    absent = np.flatnonzero(rows < 0).tolist()
    keys = sorted({join.key(samples[i]) for i in absent})
    return Missing(join.store.path, keys, len(absent), len(samples), join.missing == "drop") if absent else None


def _check_fields(name: str, join: Join[Any]) -> None:
    fields = join.store.fields
    for field in join.fields:
        if field not in fields:
            raise HeedError(f"{join.store.path}, joined as {name}, has no field {field!r}; it has {', '.join(fields)}.")
        if join.span and not fields[field].ragged:
            raise HeedError(f"Field {field!r} of {join.store.path} has one size in every row; no span can be cut from "
                            "it. Join the store once more, without a span, to read it.")
