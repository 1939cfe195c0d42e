"""WebDataset shards: a tar with one member a field and row, readable by an unmodified ``webdataset.WebDataset``.

Members are named ``000000007.features.npy``; the number is the row, as WebDataset cuts names at the first dot while
keys here are whole paths. A row's key, scalars and strings are in ``000000007.json``. Ragged bytes in a field ``jpg``
are members ``000000007.000012.jpg``, and their number is in the JSON. Headers are fixed (no times, no owners), so the
same rows give the same bytes. Made for exchange; training may read it too, as the tar is mapped and arrays are views.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from features.errors import HeedError
from pipeline.blobs import Blobs
from pipeline.fields import Field, Fields, Row
from pipeline.shards import Column
from pipeline.tars.members import TarReader

SUFFIX = ".tar"
_DIGITS = 18
"""Longer numbers name no row: 64 bits do not hold them."""


def write(file: BinaryIO, rows: Sequence[Row], fields: Fields) -> None:
    """Write ``rows`` as a tar: for each row its JSON, then one .npy for each array field."""
    arrays = _array_names(fields)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in enumerate(rows):
            scalars = {name: row[name] for name in fields if name not in arrays and fields[name].dtype != "bytes"}
            scalars |= {name: len(row[name]) for name, field in fields.items() if _holds_files(field)}
            _add(tar, f"{number:09d}.json", json.dumps(scalars, ensure_ascii=False).encode())
            for name in arrays:
                buffer = io.BytesIO()
                np.save(buffer, np.asarray(row[name], fields[name].dtype), allow_pickle=False)
                _add(tar, f"{number:09d}.{name}.npy", buffer.getvalue())
            for name, field in fields.items():
                if _holds_files(field):
                    for place, data in enumerate(row[name]):
                        _add(tar, _file_name(number, place, name), data)
                elif field.dtype == "bytes":
                    _add(tar, f"{number:09d}.{name}", row[name])


def _array_names(fields: Fields) -> list[str]:
    return [name for name, field in fields.items() if field.shape and field.dtype != "bytes"]


def _holds_files(field: Field) -> bool:
    return field.ragged and field.dtype == "bytes"


def _file_name(row: int, place: int, name: str) -> str:
    return f"{row:09d}.{place:06d}.{name}"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(data), 0o644
    tar.addfile(header, io.BytesIO(data))


class _Members:
    """Where the members of one name are, in the order of the tar; ``files`` is a file's place among its row's."""

    def __init__(self) -> None:
        self.rows, self.files, self.offsets, self.sizes = (array("q") for _ in range(4))


def open_shard(path: Path, fields: Fields) -> TarShard:
    """Map the tar and read its headers; `HeedError` naming the shard where it is no tar or lacks a member."""
    try:
        with pa.memory_map(str(path)) as file:
            data = file.read_buffer()
    except OSError as error:
        raise HeedError(f"Shard {path} cannot be read as a tar: {error}") from error
    found: dict[str, _Members] = {}
    tar = TarReader(pa.BufferReader(data), f"Shard {path}", most=data.size)
    while member := tar.next():
        row, _, name = member.name.partition(".")
        file_number, _, of_files = name.partition(".")
        if member.refusal or not row.isdecimal() or len(row) > _DIGITS:
            continue
        numbered = file_number.isdecimal() and len(file_number) <= _DIGITS and bool(of_files)
        members = found.setdefault(of_files if numbered else name, _Members())
        members.rows.append(int(row))
        members.files.append(int(file_number) if numbered else 0)
        members.offsets.append(member.offset)
        members.sizes.append(member.size)
    rows = len(found.setdefault("json", _Members()).rows)
    for name in ["json", *(f"{name}.npy" for name in _array_names(fields)),
                 *(name for name, field in fields.items() if field.dtype == "bytes" and not field.ragged)]:
        held = found.setdefault(name, _Members()).rows
        if held != array("q", range(rows)):
            lacking = next((i for i, row in enumerate(held) if row != i), len(held))
            raise HeedError(f"Shard {path} lacks the member {lacking:09d}.{name}.")
    return TarShard(path, data, found, rows, fields)


class TarShard:
    """A mapped tar with its members' places known; see `pipeline.shards.Shard`.

    Arrays are read-only views of the file, which stays readable when it is removed.
    """

    def __init__(
        self, path: Path, data: pa.Buffer, members: dict[str, _Members], rows: int, fields: Fields
    ) -> None:
        self._path, self._data, self._members, self._rows, self._fields = path, data, members, rows, fields
        self._bytes = memoryview(data)
        self._in_json = {name for name, field in fields.items() if not field.shape and field.dtype != "bytes"}
        self._keys: list[str] | None = None

    def __len__(self) -> int:
        return self._rows

    def keys(self) -> list[str]:
        """The rows' keys, in order."""
        if self._keys is None:
            self._keys = [self._scalars(number)["key"] for number in range(self._rows)]
        return self._keys

    def key(self, index: int) -> str:
        """One row's key."""
        return self._scalars(index)["key"]

    def row(self, index: int) -> Row:
        """One row."""
        scalars = self._scalars(index)
        row: Row = {}
        for name, field in self._fields.items():
            if _holds_files(field):
                row[name] = self._blobs(index, name, scalars[name])
            elif field.dtype == "bytes":
                row[name] = bytes(self._content(index, name))
            else:
                row[name] = self.array(index, name) if field.shape else scalars[name]
        return row

    def array(self, index: int, name: str) -> np.ndarray:
        """One row's value of a numeric field."""
        field = self._fields[name]
        if field.dtype in ("string", "bytes"):
            raise HeedError(f"field {name!r} holds {field.dtype}, no numbers; read it row by row.")
        if not field.shape:
            return np.array(self._scalars(index)[name], field.dtype)
        content = self._content(index, f"{name}.npy")
        start, shape = self._layout(content, index, name)
        return np.frombuffer(content, field.dtype, -1, start).reshape(shape)

    def lengths(self, name: str) -> np.ndarray:
        """Number of elements of a ragged numeric field in each row, (rows,) int64."""
        if not self._fields[name].ragged:
            raise HeedError(f"field {name!r} has one size in every row.")
        return np.array([self._layout(self._content(index, f"{name}.npy"), index, name)[1][0]
                         for index in range(self._rows)], np.int64)

    def column(self, name: str) -> Column:
        """A numeric field of all rows, read into memory."""
        field = self._fields[name]
        arrays = [self.array(number, name) for number in range(self._rows)]
        if field.ragged:
            offsets = np.cumsum([0, *(len(array) for array in arrays)])
            return Column(np.concatenate([np.zeros((0, *field.inner), field.dtype), *arrays]), offsets)
        return Column(np.stack(arrays) if arrays else np.zeros((0, *field.inner), field.dtype), None)

    def _blobs(self, index: int, name: str, count: int) -> Blobs:
        members = self._members.get(name, _Members())
        first = bisect_left(members.rows, index)
        if members.rows[first:first + count] != array("q", [index] * count) or (
                members.files[first:first + count] != array("q", range(count))):
            raise HeedError(f"Shard {self._path} lacks a member between {_file_name(index, 0, name)} and "
                            f"{_file_name(index, count - 1, name)}.")
        return Blobs(count, lambda place: bytes(self._at(members, first + place)))

    def _scalars(self, number: int) -> dict:
        try:
            scalars = json.loads(bytes(self._content(number, "json")))
            if not isinstance(scalars, dict) or not scalars.keys() >= self._in_json:
                raise ValueError("it lacks a value")
            return scalars
        except ValueError as error:
            raise HeedError(f"Shard {self._path}: member {number:09d}.json is damaged: {error}") from error

    def _content(self, index: int, name: str) -> memoryview:
        return self._at(self._members[name], index)

    def _at(self, members: _Members, place: int) -> memoryview:
        return self._bytes[members.offsets[place]:members.offsets[place] + members.sizes[place]]

    def _layout(self, content: memoryview, index: int, name: str) -> tuple[int, tuple[int, ...]]:
        """Where the numbers of a .npy begin, and their shape; `HeedError` where they are not what store.json says."""
        field, start = self._fields[name], 10 + int.from_bytes(content[8:10], "little")
        try:
            dtype, shape = _npy_header(bytes(content[:start]))
            if dtype != field.dtype or shape[1 if field.ragged else 0:] != field.inner or (field.ragged and not shape):
                raise ValueError(f"it holds {dtype} of shape {shape}")
            if start + dtype.itemsize * math.prod(shape) != len(content):
                raise ValueError(f"it has {len(content)} bytes")
            return start, shape
        except ValueError as error:
            raise HeedError(f"Shard {self._path}: member {index:09d}.{name}.npy is damaged: {error}") from error


@lru_cache(4096)
def _npy_header(header: bytes) -> tuple[np.dtype, tuple[int, ...]]:
    """Number type and shape by the header of a .npy as `write` makes it; parsing it costs more than a row's copy."""
    try:
        if np.lib.format.read_magic(io.BytesIO(header)) != (1, 0):
            raise ValueError("it is no .npy of version 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(header[8:]))
    except Exception as error:  # NumPy parses the header as Python, which fails in as many ways as Python has
        raise ValueError(str(error)) from error
    if fortran or dtype.kind not in "fiu" or min(shape, default=0) < 0:
        raise ValueError("it holds something else than numbers, row after row")
    return dtype, shape
