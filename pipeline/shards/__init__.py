"""Shard formats by name. To add one: a file in this folder and a line here.

A format's module has ``SUFFIX``, ``write(file, rows, fields)`` and ``open_shard(path, fields) -> Shard``. The same rows
must give the same bytes, whenever and wherever they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from features.errors import HeedError
from pipeline.fields import Fields, Row

FORMATS = {"arrow": "pipeline.shards.arrow", "webdataset": "pipeline.shards.webdataset"}


@dataclass(frozen=True)
class Column:
    """One field of a whole shard."""

    values: np.ndarray
    """(elements, …) for a ragged field, all rows one after the other; (rows, …) for a fixed one."""
    offsets: np.ndarray | None
    """(rows + 1,) for a ragged field: row i is values[offsets[i]:offsets[i + 1]]; None for a fixed one."""


class Shard(Protocol):
    """An open shard."""

    def __len__(self) -> int: ...

    def keys(self) -> Sequence[str]:
        """The rows' keys, in order."""
        ...

    def key(self, index: int) -> str:
        """One row's key."""
        ...

    def row(self, index: int) -> Row:
        """One row; arrays may be read-only views of the file."""
        ...

    def array(self, index: int, name: str) -> np.ndarray:
        """One row's value of a numeric field; may be a read-only view of the file."""
        ...

    def lengths(self, name: str) -> np.ndarray:
        """Number of elements of a ragged numeric field in each row, (rows,) int64."""
        ...

    def column(self, name: str) -> Column:
        """A numeric field of all rows; of some formats it is read into memory."""
        ...


def shard_format(name: str) -> ModuleType:
    """The module of the format called ``name``."""
    if name not in FORMATS:
        raise HeedError(f"There is no shard format {name!r}; heed has {', '.join(FORMATS)}.")
    return import_module(FORMATS[name])


def open_shard(path: Path, format_name: str, fields: Fields) -> Shard:
    """Open the shard file ``path``."""
    return shard_format(format_name).open_shard(path, fields)
