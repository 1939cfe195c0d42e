"""LMDB databases: read page by page with every offset checked, written through the lmdb package.

The library maps the file and trusts it: a download that was cut short or damaged ends the process (SIGBUS, SIGSEGV).
This reader takes the file format of LMDB 0.9 (data version 1, 64-bit; libraries/liblmdb/mdb.c: MDB_meta, MDB_page,
MDB_node) and answers a damaged page with a sentence. It needs no package.

A page begins with its number (8 bytes), 2 unused, flags (2), lower and upper end of its free space (2 each); then come
2-byte offsets of its nodes. A node is 2 + 2 bytes of size (leaf) or page number (branch), 2 flags, 2 key size, the key,
and in a leaf the value, or, with the flag BIG, the number of the page where it begins.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from features.errors import HeedError
from pipeline.exchange.arrays import MAX_ENTRY

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_BIG = 1
_DEPTH = 32
_EMPTY = (1 << 64) - 1


class LmdbFile:
    """An open database; only its unnamed main one, without duplicates, as all feature files have it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "data.mdb" if path.is_dir() else path
        if not self.path.is_file():
            raise HeedError(f"{path} is no LMDB: it has no data.mdb.")
        self._file = self.path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._page_size = 0
        metas = [meta for meta in (self._meta(0), self._meta(self._page_size or 4096)) if meta]
        if not metas:
            raise HeedError(f"{path} is no LMDB of version {_VERSION}, or is damaged: it has no sound meta page.")
        _, self._root, self._last, self.entries = max(metas)
        if self._root != _EMPTY and (self._last + 1) * self._page_size > self._size:
            raise HeedError(f"{path} is cut short: it has {self._size} bytes where its {self._last + 1} pages need "
                            f"{(self._last + 1) * self._page_size}. Download or copy it again.")
        self._page = lru_cache(maxsize=64)(self._read_page)

    def _meta(self, offset: int) -> tuple[int, int, int, int] | None:
        """(transaction, root page, last page, entries) of one of the two meta pages."""
        data = os.pread(self._file.fileno(), 152, offset)
        if len(data) < 152:
            return None
        magic, version = struct.unpack_from("<II", data, 16)
        (page_size,) = struct.unpack_from("<I", data, 40)
        entries, root, last, transaction = struct.unpack_from("<QQQQ", data, 120)
        if magic != _MAGIC or version != _VERSION or page_size not in (1 << bits for bits in range(9, 17)):
            return None
        self._page_size = page_size
        return transaction, root, last, entries

    def _read_page(self, number: int) -> tuple[int, tuple[int, ...], bytes]:
        """(flags, offsets of its nodes, bytes) of a tree page."""
        data = self._bytes(number * self._page_size, self._page_size)
        flags, lower = struct.unpack_from("<HH", data, 10)
        kind = flags & (_BRANCH | _LEAF | _OVERFLOW | _META)
        if kind not in (_BRANCH, _LEAF) or not 16 <= lower <= self._page_size:
            raise self._damaged(number)
        nodes = struct.unpack_from(f"<{(lower - 16) // 2}H", data, 16)
        if any(not 16 <= node <= self._page_size - 8 for node in nodes):
            raise self._damaged(number)
        return kind, nodes, data

    def _bytes(self, offset: int, size: int) -> bytes:
        if size > MAX_ENTRY or offset + size > self._size:
            raise self._damaged(offset // self._page_size)
        return os.pread(self._file.fileno(), size, offset)

    def _damaged(self, page: int) -> HeedError:
        return HeedError(f"{self.path} is damaged at page {page}")

    def _key(self, number: int, data: bytes, node: int) -> bytes:
        (size,) = struct.unpack_from("<H", data, node + 6)
        if node + 8 + size > self._page_size:
            raise self._damaged(number)
        return data[node + 8:node + 8 + size]

    def _value(self, number: int, data: bytes, node: int) -> tuple[int, int]:
        """(offset in the file, size) of a leaf's value."""
        low, high, flags, key = struct.unpack_from("<HHHH", data, node)
        size, start = low | high << 16, node + 8 + key
        if flags & ~_BIG:
            raise HeedError(f"{self.path} holds named or duplicate entries, which no feature file has")
        if flags & _BIG:
            if start + 8 > self._page_size:
                raise self._damaged(number)
            (page,) = struct.unpack_from("<Q", data, start)
            return page * self._page_size + 16, size
        if start + size > self._page_size:
            raise self._damaged(number)
        return number * self._page_size + start, size

    def _child(self, data: bytes, node: int) -> int:
        low, high, flags = struct.unpack_from("<HHH", data, node)
        return low | high << 16 | flags << 32

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Each key with the size of its value, in the order of the keys; values are not read."""
        if self._root == _EMPTY:
            return
        pages = 0
        stack = [self._root]
        while stack:
            number = stack.pop()
            pages += 1
            if pages > self._last + 1:
                raise HeedError(f"{self.path} is damaged: its pages lead in circles")
            kind, nodes, data = self._read_page(number)
            if kind == _BRANCH:
                stack.extend(self._child(data, node) for node in reversed(nodes))
                continue
            for node in nodes:
                yield self._key(number, data, node), self._value(number, data, node)[1]

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, None where there is none."""
        number = self._root
        for _ in range(_DEPTH if number != _EMPTY else 0):
            kind, nodes, data = self._page(number)
            keys = _Keys(self, number, data, nodes)
            if kind == _LEAF:
                place = bisect_right(keys, key) - 1
                if place < 0 or keys[place] != key:
                    return None
                return self._bytes(*self._value(number, data, nodes[place]))
            if not nodes:
                raise self._damaged(number)
            # The first key of a branch page stands for everything smaller and is not stored.
            number = self._child(data, nodes[bisect_right(keys, key, lo=1) - 1])
        return None


class _Keys:
    """The keys of a page, taken out of it where a search looks."""

    def __init__(self, database: LmdbFile, number: int, data: bytes, nodes: tuple[int, ...]) -> None:
        self._key, self._number, self._data, self._nodes = database._key, number, data, nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, place: int) -> bytes:
        return self._key(self._number, self._data, self._nodes[place])


def open_lmdb(path: str | Path) -> LmdbFile:
    """The database at ``path`` (a folder or a file), kept open; opened anew when the file has changed."""
    file = Path(path) / "data.mdb" if Path(path).is_dir() else Path(path)
    stat = file.stat() if file.is_file() else None
    return _open(Path(path), os.getpid(), *((stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else ()))


@lru_cache(maxsize=4)
def _open(path: Path, *_: int) -> LmdbFile:
    return LmdbFile(path)


def write_lmdb(path: Path, entries: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a database folder of ``entries``; it grows as it is filled."""
    try:
        import lmdb
    except ImportError:
        raise HeedError("Writing LMDB needs the package lmdb: pip install 'heed[exchange]'.") from None
    path.mkdir()
    size = 1 << 26
    with lmdb.open(str(path), map_size=size, sync=False) as database:
        for key, value in entries:
            if not 0 < len(key) <= database.max_key_size():
                raise HeedError(f"The key {key[:60]!r} is empty or longer than the {database.max_key_size()} bytes "
                                "that LMDB allows.")
            while True:
                try:
                    with database.begin(write=True) as transaction:
                        transaction.put(key, value)
                    break
                except lmdb.MapFullError:
                    size = max(2 * size, size + 2 * len(value))
                    database.set_mapsize(size)
        database.sync(True)
    (path / "lock.mdb").unlink(missing_ok=True)
