"""Fields of many rows of a store in padded arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.fields import Field
from pipeline.padding import Padded
from pipeline.store import Store


def read_rows(
    store: Store, fields: Sequence[str], rows: np.ndarray, spans: Sequence[tuple[int, int]] | None = None
) -> dict[str, Padded]:
    """Fields of many rows of a store; a row of -1 gives nothing: length 0, and zeros, an empty string or bytes."""
    there = np.flatnonzero(rows >= 0)
    if len(there) == len(rows):
        return {name: _read_field(store, name, rows, spans) for name in fields}
    cut = [spans[i] for i in there.tolist()] if spans is not None else None
    return {name: _spread(_read_field(store, name, rows[there], cut), store.fields[name], there, len(rows))
            for name in fields}


def row_lengths(store: Store, name: str) -> np.ndarray:
    """Number of elements of a ragged field in each row of a store, (rows,) int64.

    Touches every shard, and so fetches the whole of a remote store.
    """
    if not store.fields[name].ragged:
        raise HeedError(f"Field {name!r} of {store.path} has one size in every row; it has no lengths to go by.")
    lengths = [store.shard(position).lengths(name) for position in range(len(store.records))]
    return np.concatenate([np.zeros(0, np.int64), *lengths])


def _read_field(store: Store, name: str, rows: np.ndarray, spans: Sequence[tuple[int, int]] | None) -> Padded:
    field = store.fields[name]
    if field.dtype in ("string", "bytes"):
        return _read_objects(store, name, rows, spans)
    if field.ragged:
        return Padded(*store.gather(name, rows, spans))
    values = np.empty((len(rows), *field.inner), field.dtype)
    for slot, row in enumerate(rows.tolist()):
        position, inner = store.locate(row)
        values[slot] = store.shard(position).array(inner, name)
    return Padded(values, np.ones(len(rows), np.int64), ragged=False)


def _read_objects(store: Store, name: str, rows: np.ndarray, spans: Sequence[tuple[int, int]] | None) -> Padded:
    values, lengths = np.empty(len(rows), object), np.ones(len(rows), np.int64)
    for slot, row in enumerate(rows.tolist()):
        value = store.row(row)[name]
        if store.fields[name].ragged:
            value = value[slice(*np.maximum(0, spans[slot]).tolist())] if spans is not None else value
            lengths[slot] = len(value)
        values[slot] = value
    return Padded(values, lengths, ragged=False)


def _spread(dense: Padded, field: Field, there: np.ndarray, count: int) -> Padded:
    """``dense`` in a batch of ``count``, at the places ``there``; nothing at the others."""
    values = np.zeros((count, *dense.values.shape[1:]), dense.values.dtype)
    lengths = np.zeros(count, np.int64)
    if values.dtype == object:
        nothing: Any = () if field.ragged else "" if field.dtype == "string" else b""
        for slot in range(count):
            values[slot] = nothing
        for slot, value in zip(there.tolist(), dense.values, strict=True):
            values[slot] = value
    else:
        values[there] = dense.values
    lengths[there] = dense.lengths
    return Padded(values, lengths, dense.ragged)
