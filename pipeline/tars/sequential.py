"""Tars read from front to back, once, without an index and without seeking: from disks, buckets or pipes.

    for sample in stream_tars(urls, Order(seed=1), epoch=3):
        parts = decoded(sample)

The order is a pure function of (seed, epoch): tars in random order, their samples through a buffer of bounded size, of
which a random one leaves as each comes. How many samples there are is not known before the end. Ranks that share an
epoch (`share_batches`) each read all of it and take their part: which order that gives does not depend on how many
they are. Where that is too much reading, use an index (`pipeline.tars.indexed`).
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar, cast

import numpy as np

from features.errors import HeedError
from pipeline.places import place
from pipeline.retries import shown
from pipeline.sampler import Order, batch_rows, epoch_hashes, epoch_order
from pipeline.tars.members import DamagedTar, TarReader
from pipeline.tars.samples import Refusals, TarSample, groups

T = TypeVar("T")

_OF_SLOTS = 1 << 40
"""The first number hashed for the buffer; smaller ones are the tars'."""


def read_tar(
    file: BinaryIO, where: str, refused: Refusals | None = None, damaged: Literal["raise", "skip"] = "raise"
) -> Iterator[TarSample]:
    """Samples of the tar that ``file`` is at the beginning of, in order; ``where`` is what errors call it.

    Where the tar is cut short or damaged, the samples before that are given, and then `DamagedTar` is raised, or, with
    ``damaged`` "skip", it is noted in ``refused`` and the tar ends there.
    """
    refused = refused if refused is not None else Refusals()
    tar = TarReader(file, where, seek=False)
    try:
        for key, parts in groups(tar, where, tar.read, refused):
            yield TarSample(key, parts)
        tar.finish()
    except DamagedTar as error:
        if damaged == "raise":
            raise
        refused.add(where, "", str(error))


def stream_tars(
    tars: Sequence[str | Path], order: Order | None = None, epoch: int = 0, buffer: int = 1000,
    refused: Refusals | None = None, damaged: Literal["raise", "skip"] = "raise",
) -> Iterator[TarSample]:
    """One epoch of the samples of ``tars``: paths, URLs, or ``-`` for what is piped in; ``.gz`` and ``.tgz`` as well.

    They are shuffled unless the order's ``shuffle`` is none; ``buffer`` samples are held at once. Damaged tars as in
    `read_tar`, where an error comes after all whole samples before it have been given.
    """
    order = order or Order()
    visited = range(len(tars)) if order.shuffle == "none" else epoch_order(len(tars), order.seed, epoch).tolist()

    def samples() -> Iterator[TarSample]:
        for number in visited:
            where = str(tars[number])
            with _opened(where) as file:
                yield from read_tar(file, shown(where), refused, damaged)

    return samples() if order.shuffle == "none" else shuffled(samples(), buffer, order.seed, epoch)


def shuffled(samples: Iterable[T], buffer: int, seed: int, epoch: int) -> Iterator[T]:
    """``samples`` in an order that follows from (seed, epoch, buffer), ``buffer`` of them held at once.

    When one more comes, one of those held, chosen at random, leaves. A `HeedError` of ``samples`` comes after those
    held.
    """
    if buffer < 1:
        raise HeedError(f"A shuffle buffer holds at least 1 sample, not {buffer}.")
    held: list[T] = []
    raised = None
    slots = _slots(buffer, seed, epoch)
    try:
        for sample in samples:
            if len(held) < buffer:
                held.append(sample)
                continue
            slot = next(slots)
            leaving, held[slot] = held[slot], sample
            yield leaving
    except HeedError as error:
        raised = error
    for slot in epoch_order(len(held), seed, epoch).tolist():
        yield held[slot]
    if raised:
        raise raised


def share_batches(
    samples: Iterable[T], batch: int, rank: int = 0, world: int = 1, first: int = 0
) -> Iterator[list[T]]:
    """Batches ``first``, ``first`` + 1, … of ``batch`` samples, of each the share of one rank of ``world``.

    Every rank gets equally many, the last one shorter; what comes before ``first`` is read and passed over.
    """
    arriving = islice(iter(samples), first * batch, None)
    while whole := list(islice(arriving, batch)):
        yield [whole[i] for i in batch_rows(np.arange(len(whole)), 0, batch, rank, world).tolist()]


def _slots(buffer: int, seed: int, epoch: int) -> Iterator[int]:
    for first in count(_OF_SLOTS, 1024):
        yield from (epoch_hashes(seed, epoch, np.arange(first, first + 1024)) % np.uint64(buffer)).tolist()


@contextmanager
def _opened(where: str) -> Iterator[BinaryIO]:
    if where == "-":
        yield sys.stdin.buffer
        return
    path = place(where)
    try:
        file = path.open("rb") if isinstance(path, Path) else path.open()
    except OSError as error:
        raise HeedError(f"{shown(where)} cannot be read: {error.strerror or 'it is not there'}.") from error
    with file:
        if path.name.endswith((".gz", ".tgz")):
            with gzip.open(file) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield file
