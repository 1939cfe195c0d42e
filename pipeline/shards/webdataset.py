"""WebDataset shards: a tar with one member a field and row, readable by an unmodified ``webdataset.WebDataset``.

Members are named ``000000007.features.npy``; the number is the row, as WebDataset cuts names at the first dot while
keys here are whole paths. A row's key, scalars and strings are in ``000000007.json``. Ragged bytes in a field ``jpg``
are members ``000000007.000012.jpg``, and their number is in the JSON. Headers are fixed (no times, no owners), so the
same rows give the same bytes. Made for exchange: training reads Arrow, which needs no parsing.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from features.errors import HeedError
from pipeline.blobs import Blobs
from pipeline.fields import Field, Fields, Row
from pipeline.shards import Column

SUFFIX = ".tar"


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


def open_shard(path: Path, fields: Fields) -> TarShard:
    """Read the tar's headers; `HeedError` naming the shard where it is no tar or lacks a member."""
    try:
        with tarfile.open(path) as tar:
            members = {member.name: (member.offset_data, member.size) for member in tar if member.isfile()}
        with pa.memory_map(str(path)) as file:
            data = file.read_buffer()
    except (tarfile.TarError, OSError) as error:
        raise HeedError(f"Shard {path} cannot be read as a tar: {error}") from error
    rows = sum(name.endswith(".json") for name in members)
    suffixes = ["json", *(f"{name}.npy" for name in _array_names(fields)),
                *(name for name, field in fields.items() if field.dtype == "bytes" and not field.ragged)]
    for number in range(rows):
        for suffix in suffixes:
            if f"{number:09d}.{suffix}" not in members:
                raise HeedError(f"Shard {path} lacks the member {number:09d}.{suffix}.")
    return TarShard(path, data, members, rows, fields)


class TarShard:
    """A mapped tar with its members' places known; see `pipeline.shards.Shard`.

    A column is read into memory on first use. The file stays readable when it is removed.
    """

    def __init__(
        self, path: Path, data: pa.Buffer, members: dict[str, tuple[int, int]], rows: int, fields: Fields
    ) -> None:
        self._path, self._data, self._members, self._rows, self._fields = path, data, members, rows, fields
        self._columns: dict[str, Column] = {}
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
        """One row, read from the file."""
        scalars = self._scalars(index)
        row: Row = {}
        for name, field in self._fields.items():
            if _holds_files(field):
                row[name] = self._blobs(index, name, scalars[name])
            elif field.shape:
                row[name] = self._array(index, name)
            else:
                row[name] = self._read(f"{index:09d}.{name}") if field.dtype == "bytes" else scalars[name]
        return row

    def _blobs(self, index: int, name: str, count: int) -> Blobs:
        members = [_file_name(index, place, name) for place in range(count)]
        for member in members:
            if member not in self._members:
                raise HeedError(f"Shard {self._path} lacks the member {member}.")
        return Blobs(count, lambda place: self._read(members[place]))

    def column(self, name: str) -> Column:
        """A numeric field of all rows."""
        if self._fields[name].dtype in ("string", "bytes"):
            raise HeedError(f"field {name!r} holds {self._fields[name].dtype}, no numbers; read it row by row.")
        if name not in self._columns:
            field = self._fields[name]
            if not field.shape:
                values = np.array([self._scalars(number)[name] for number in range(self._rows)], field.dtype)
                self._columns[name] = Column(values, None)
            else:
                arrays = [self._array(number, name) for number in range(self._rows)]
                empty = np.zeros((0, *field.inner), field.dtype)
                if field.ragged:
                    offsets = np.cumsum([0, *(len(array) for array in arrays)])
                    self._columns[name] = Column(np.concatenate([empty, *arrays]), offsets)
                else:
                    self._columns[name] = Column(np.stack(arrays) if arrays else empty, None)
        return self._columns[name]

    def _read(self, member: str) -> bytes:
        offset, size = self._members[member]
        return self._data.slice(offset, size).to_pybytes()

    def _scalars(self, number: int) -> dict:
        return json.loads(self._read(f"{number:09d}.json"))

    def _array(self, number: int, name: str) -> np.ndarray:
        member = f"{number:09d}.{name}.npy"
        try:
            return np.load(io.BytesIO(self._read(member)), allow_pickle=False)
        except ValueError as error:
            raise HeedError(f"Shard {self._path}: member {member} is damaged: {error}") from error
