"""Plain Parquet: a row a key, a column a field of a store; arrays are lists, or lists of lists of one length.

The column ``key`` and the columns that `pipeline.exchange.plain` names; others are not read. heed writes lists of
fixed-size lists, 16 rows a row group. An item's offset is its row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import HeedError
from features.regions import Regions
from pipeline.clips import Clips
from pipeline.exchange.plain import KINDS, NAMES, plain_entry
from pipeline.fields import Fields, Row
from pipeline.shards.arrow import arrow_type, record_batch
from pipeline.sources import Item

__all__ = ["KINDS", "items", "read", "write"]
GROUP = 16
"""Rows a row group: a reader holds one, 16 x 36 x 2048 float16 = 2.4 MB."""
_DAMAGE = (pa.ArrowException, ValueError, KeyError, OSError, OverflowError)


def items(path: Path) -> Iterator[Item]:
    """Every row."""
    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(4096, columns=["key"]):
                for key in batch.column("key").to_pylist():
                    if not isinstance(key, str | int):
                        raise HeedError(f"{path}: row {number} has the key {key!r}; keys are text or whole numbers.")
                    yield Item(str(key), str(path), offset=number)
                    number += 1
    except _DAMAGE as error:
        raise HeedError(f"{path} is no whole Parquet file with a column key: {str(error)[:200]}.") from error


def read(item: Item) -> Regions | Clips:
    """One row's regions or clips; `HeedError` with the reason where it cannot be read."""
    stat = Path(item.uri).stat()
    try:
        row = _rows(item.uri, os.getpid(), stat.st_mtime_ns, stat.st_size).row(item.offset)
        values = {name: _array(row.column(name)) for name in row.schema.names}
    except _DAMAGE as error:
        raise HeedError(f"cannot be read: {str(error)[:200]}") from error
    return plain_entry({name: array for name, array in values.items() if array is not None})


class _Rows:
    """An open file that is read forwards, a small batch at a time, and opened anew to go back."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._restart()

    def _restart(self) -> None:
        file = pq.ParquetFile(self._path, page_checksum_verification=True)
        columns = [name for name in NAMES if name in file.schema_arrow.names]
        self._batches = file.iter_batches(GROUP, columns=columns)
        self._batch, self._start = next(self._batches, None), 0

    def row(self, number: int) -> pa.RecordBatch:
        """Row ``number`` as a batch of one."""
        if number < self._start:
            self._restart()
        while self._batch is not None and number >= self._start + len(self._batch):
            self._start += len(self._batch)
            self._batch = next(self._batches, None)
        if self._batch is None:
            raise HeedError("is behind the end of the file")
        return self._batch.slice(number - self._start, 1)


@lru_cache(maxsize=2)
def _rows(path: str, *_: int) -> _Rows:
    return _Rows(path)


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def _array(column: pa.Array) -> np.ndarray | None:
    """The one value of a column as an array, None where it is null."""
    if column.null_count:
        return None
    shape: list[int] = []
    while any(is_list(column.type) for is_list in _LISTS):
        lengths = pc.list_value_length(column)
        longest = pc.max(lengths).as_py() or 0
        if column.null_count or (pc.min(lengths).as_py() or 0) != longest:
            raise HeedError("holds lists of several lengths where an array is expected")
        shape.append(longest)
        column = column.flatten()
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise HeedError(f"holds {column.type} where numbers are expected, or lacks some")
    values = column.to_numpy(zero_copy_only=False)
    return values.reshape(shape) if shape else values[0]


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``, in the store's number types."""
    schema = pa.schema([pa.field(name, arrow_type(field), nullable=False) for name, field in fields.items()])
    pending = iter(rows)
    with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        while group := list(islice(pending, GROUP)):
            writer.write_batch(record_batch(group, fields, schema), row_group_size=GROUP)
