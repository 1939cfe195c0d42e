"""Arrow shards: one record batch in Arrow's IPC file format, uncompressed, read through a memory map.

A ragged field (None, d) is ``list<fixed_size_list<T, d>>``: one offset a row, values in one block, so that reading a
row is a slice of the mapped file and costs no decoding. Any Arrow reader opens the file. Ragged bytes (None,) are
``list<large_binary>``, as the pictures of one film may come to gigabytes; a row gives them as `pipeline.blobs.Blobs`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from features.errors import HeedError
from pipeline.arrow_numbers import numbers
from pipeline.blobs import Blobs
from pipeline.fields import Field, Fields, Row
from pipeline.shards import Column

SUFFIX = ".arrow"


def arrow_type(field: Field) -> pa.DataType:
    """The Arrow type of one field."""
    element = {"string": pa.string(), "bytes": pa.large_binary() if field.ragged else pa.binary()}.get(field.dtype)
    if element is None:
        element = pa.from_numpy_dtype(np.dtype(field.dtype))
    for size in reversed(field.inner):
        element = pa.list_(element, size)
    return pa.list_(element) if field.ragged else element


def write(file: BinaryIO, rows: Sequence[Row], fields: Fields) -> None:
    """Write ``rows`` as one Arrow IPC file."""
    metadata = {"heed": json.dumps({name: field.to_json() for name, field in fields.items()})}
    schema = pa.schema([pa.field(name, arrow_type(field), nullable=False) for name, field in fields.items()], metadata)
    with pa.ipc.new_file(pa.PythonFile(file, "w"), schema) as writer:
        writer.write_batch(record_batch(rows, fields, schema))


def record_batch(rows: Sequence[Row], fields: Fields, schema: pa.Schema) -> pa.RecordBatch:
    """``rows`` as Arrow columns; `HeedError` where a value has another shape than its field."""
    arrays = [_array([row[name] for row in rows], name, field) for name, field in fields.items()]
    return pa.record_batch(arrays, schema=schema)


def _array(values: list, name: str, field: Field) -> pa.Array:
    if field.dtype == "bytes" and field.ragged:
        return _blobs(values)
    if field.dtype in ("string", "bytes"):
        return pa.array(values, arrow_type(field))
    dtype = np.dtype(field.dtype)
    arrays = [np.asarray(value, dtype) for value in values]
    for array in arrays:
        if array.shape[1 if field.ragged else 0:] != field.inner or (field.ragged and array.ndim == 0):
            raise HeedError(f"field {name!r} has shape {array.shape} where the store holds {field.shape}")
    if field.ragged:
        flat = np.concatenate(arrays) if arrays else np.zeros((0, *field.inner), dtype)
    else:
        flat = np.stack(arrays) if arrays else np.zeros((0, *field.inner), dtype)
    inner = pa.array(flat.reshape(-1))
    for size in reversed(field.inner):
        inner = pa.FixedSizeListArray.from_arrays(inner, size)
    if not field.ragged:
        return inner
    offsets = np.zeros(len(arrays) + 1, np.int32)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), inner)


def _blobs(values: Sequence[Sequence[bytes]]) -> pa.Array:
    """Lists of byte strings, each read once and held once."""
    data, ends, counts = bytearray(), [0], [0]
    for blobs in values:
        for blob in blobs:
            data += blob
            ends.append(len(data))
        counts.append(len(ends) - 1)
    buffers = [None, pa.py_buffer(np.array(ends, np.int64)), pa.py_buffer(data)]
    inner = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends) - 1, buffers)
    return pa.ListArray.from_arrays(pa.array(np.array(counts, np.int32)), inner)


def open_shard(path: Path, fields: Fields) -> ArrowShard:
    """Map the file and check that it holds ``fields``; `HeedError` naming the shard where it does not."""
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            batch = reader.get_batch(0) if reader.num_record_batches == 1 else None
        held = {} if batch is None else {part.name: part.type for part in batch.schema}
        if batch is not None:
            batch.validate(full=True)  # offsets and texts, not numbers: damaged ones would read outside the file
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise HeedError(f"Shard {path} cannot be read as Arrow: {error}") from error
    expected = {name: arrow_type(field) for name, field in fields.items()}
    if batch is None or held != expected:
        raise HeedError(f"Shard {path} does not hold the fields that its store.json names.")
    return ArrowShard(batch, fields)


class ArrowShard:
    """One mapped record batch; see `pipeline.shards.Shard`."""

    def __init__(self, batch: pa.RecordBatch, fields: Fields) -> None:
        self._batch = batch
        self._fields = fields
        self._columns: dict[str, Column] = {}

    def __len__(self) -> int:
        return self._batch.num_rows

    def keys(self) -> list[str]:
        """The rows' keys, in order."""
        return self._batch.column("key").to_pylist()

    def key(self, index: int) -> str:
        """One row's key."""
        return self._batch.column("key")[index].as_py()

    def row(self, index: int) -> Row:
        """One row; its arrays are read-only views of the mapped file."""
        row: Row = {}
        for name, field in self._fields.items():
            if field.dtype == "bytes" and field.ragged:
                row[name] = self._blobs(name, index)
                continue
            if field.dtype in ("string", "bytes"):
                row[name] = self._batch.column(name)[index].as_py()
                continue
            row[name] = self.array(index, name) if field.shape else self.array(index, name).item()
        return row

    def _blobs(self, name: str, index: int) -> Blobs:
        values = self._batch.column(name)[index].values
        return Blobs(len(values), lambda number: values[number].as_py())

    def array(self, index: int, name: str) -> np.ndarray:
        """One row's value of a numeric field, a read-only view of the mapped file."""
        column = self._columns.get(name) or self.column(name)
        if column.offsets is None:
            return column.values[index]
        return column.values[column.offsets[index]:column.offsets[index + 1]]

    def lengths(self, name: str) -> np.ndarray:
        """Number of elements of a ragged numeric field in each row, (rows,) int64."""
        offsets = self.column(name).offsets
        if offsets is None:
            raise HeedError(f"field {name!r} has one size in every row.")
        return np.diff(offsets).astype(np.int64)

    def column(self, name: str) -> Column:
        """A numeric field of all rows, without a copy."""
        if self._fields[name].dtype in ("string", "bytes"):
            raise HeedError(f"field {name!r} holds {self._fields[name].dtype}, no numbers; read it row by row.")
        if name not in self._columns:
            field, array = self._fields[name], self._batch.column(name)
            offsets = None
            try:
                if field.ragged:
                    offsets, array = numbers(array.offsets), array.values
                for _ in field.inner:
                    array = array.values
                values = numbers(array).reshape(-1, *field.inner)
            except ValueError as error:
                raise HeedError(f"The field {name!r} of a shard is damaged ({error}); heed store verify names the "
                                "shard.") from error
            self._columns[name] = Column(values, offsets)
        return self._columns[name]

