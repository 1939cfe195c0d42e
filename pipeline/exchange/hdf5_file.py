"""HDF5 files, read with what a file claims checked against what it holds, and never out of other files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.exchange.arrays import MAX_ENTRY
from pipeline.sources import Item, printable

_RATIO = 1032
"""Most numbers' bytes that one stored byte can stand for: deflate's limit."""
_DEPTH = 16


def h5py() -> Any:
    """The package, or `HeedError` naming the extra it comes with."""
    try:
        import h5py
    except ImportError:
        raise HeedError("HDF5 files need the package h5py: pip install 'heed[exchange]'.") from None
    return h5py


def open_h5(path: str | Path) -> Any:
    """The file, open for reading and kept so; opened anew when it has changed."""
    stat = Path(path).stat()
    return _open(str(path), os.getpid(), stat.st_mtime_ns, stat.st_size, stat.st_ino)


@lru_cache(maxsize=4)
def _open(path: str, *_: int) -> Any:
    with told(f"{path} is no whole HDF5 file"):
        return h5py().File(path, "r")


@contextmanager
def told(what: str = "is damaged") -> Iterator[None]:
    """Turn what h5py raises into `HeedError`."""
    try:
        yield
    except HeedError:
        raise
    except Exception as error:  # h5py gives OSError, KeyError, RuntimeError, ValueError, TypeError for damaged bytes
        raise HeedError(f"{what}: {' '.join(str(error).split())[:200]}") from error


def walk(path: Path, is_entry: Callable[[Any], bool]) -> Iterator[Item]:
    """Every group or dataset that ``is_entry`` says is one, its path as key; other groups are entered."""
    with told(f"{path} is damaged"):
        file = open_h5(path)
        yield from _walk(file, "", str(path), is_entry, _DEPTH)


def _walk(group: Any, prefix: str, path: str, is_entry: Callable[[Any], bool], depth: int) -> Iterator[Item]:
    if not depth:
        raise HeedError(f"{path} nests groups deeper than {_DEPTH}, or in themselves")
    for name in group:
        inner = child(group, name)
        if is_entry(inner):
            yield Item(printable(f"{prefix}{name}"), path)
        elif isinstance(inner, h5py().Group):
            yield from _walk(inner, f"{prefix}{name}/", path, is_entry, depth - 1)


def is_group_of_datasets(inner: Any) -> bool:
    """Whether a member is a group whose first member is no group; an empty one counts, so that it is told of."""
    if not isinstance(inner, h5py().Group):
        return False
    first = next(iter(inner), None)
    if first is None or not isinstance(inner.get(first, getlink=True), h5py().HardLink):
        return True
    return inner.get(first, getclass=True) is not h5py().Group


def child(group: Any, name: str) -> Any:
    """A member of a group; `HeedError` where it lies in another file or behind a name."""
    if not isinstance(group.get(name, getlink=True), h5py().HardLink):
        raise HeedError(f"{name!r} is a link; heed reads only what is in the file itself")
    return group[name]


def entry(item: Item) -> Any:
    """The group or dataset of an item of `walk`."""
    group = open_h5(item.uri)
    with told():
        for name in item.key.split("/"):
            group = child(group, name)
        return group


def numbers(group: Any, name: str) -> np.ndarray | None:
    """The dataset called ``name``, or the attribute where there is no such dataset; None where there is neither."""
    with told(f"{name} is damaged"):
        if name in group:
            return read_dataset(child(group, name), name)
        if name in group.attrs:
            return np.asarray(group.attrs[name])
        return None


def read_dataset(dataset: Any, name: str) -> np.ndarray:
    """A dataset of numbers, whole; `HeedError` where it is none, lies elsewhere, or claims more than it holds."""
    with told(f"{name} is damaged"):
        check_dataset(dataset, name)
        if dataset.nbytes > MAX_ENTRY:
            raise HeedError(f"{name} has shape {dataset.shape}, more than {MAX_ENTRY} bytes")
        return dataset[()]


def check_dataset(dataset: Any, name: str) -> None:
    """`HeedError` where this is no dataset of numbers, lies elsewhere, or claims more than it holds."""
    with told(f"{name} is damaged"):
        if not isinstance(dataset, h5py().Dataset) or dataset.dtype.kind not in "fiub" or dataset.shape is None:
            raise HeedError(f"{name} is no array of numbers")
        if dataset.is_virtual or dataset.external:
            raise HeedError(f"{name} lies in another file; heed reads only what is in the file itself")
        stored = dataset.id.get_storage_size()
        if dataset.nbytes > stored * _RATIO:
            raise HeedError(f"{name} has shape {dataset.shape}, more than its {stored} stored bytes can hold")


def group_for(file: Any, key: str) -> Any:
    """A new group for ``key``; `HeedError` where HDF5 cannot name one so."""
    with _named(key):
        return file.create_group(key)


def write_dataset(file: Any, key: str, values: np.ndarray) -> None:
    """A new dataset for ``key``; `HeedError` where HDF5 cannot name one so."""
    with _named(key):
        file.create_dataset(key, data=values)


@contextmanager
def _named(key: str) -> Iterator[None]:
    if any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key or key.count("/") >= _DEPTH:
        raise HeedError(f"The key {key!r} cannot be a group's name in HDF5.")
    with told(f"The key {key!r} cannot be written"):
        yield
