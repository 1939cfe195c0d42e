"""From a key to its row: a sorted table of key hashes, mapped, so that a look-up costs microseconds at any size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from pipeline.arrow_numbers import numbers
from pipeline.atomic import atomic_write
from pipeline.places import Place, Remote

INDEX_FILE = "index.arrow"


def key_hash(key: str) -> int:
    """First eight bytes of the key's SHA-256, as an unsigned integer."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


class Index:
    """Rows (in the store's numbering) by key hash; the caller compares the key itself, as hashes may collide."""

    def __init__(self, hashes: np.ndarray, rows: np.ndarray) -> None:
        self._hashes = hashes
        self._rows = rows

    @staticmethod
    def build(keys: Iterable[str]) -> Index:
        """Index of ``keys`` in the order of the store's rows."""
        return Index.from_hashes(np.fromiter((key_hash(key) for key in keys), np.uint64))

    @staticmethod
    def from_hashes(hashes: np.ndarray) -> Index:
        """Index of the keys with these hashes (rows,) uint64, in the order of the store's rows."""
        order = np.argsort(hashes, kind="stable")
        return Index(hashes[order], order.astype(np.int64))

    def candidates(self, key: str) -> np.ndarray:
        """Rows whose key has the hash of ``key``: nearly always none or one."""
        wanted = np.uint64(key_hash(key))
        first = int(self._hashes.searchsorted(wanted))
        last = first
        while last < len(self._hashes) and self._hashes[last] == wanted:
            last += 1
        return self._rows[first:last]

    def write(self, store: Place, fingerprint: str) -> None:
        """Write index.arrow; ``fingerprint`` says which shards it belongs to."""
        with atomic_write(store / INDEX_FILE) as file:
            file.write(self.to_bytes(fingerprint))

    def to_bytes(self, fingerprint: str) -> bytes:
        """What index.arrow holds."""
        table = pa.record_batch({"hash": pa.array(self._hashes), "row": pa.array(self._rows)})
        table = table.replace_schema_metadata({"fingerprint": fingerprint, "sha256": self._digest()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_batch(table)
        return sink.getvalue().to_pybytes()

    def _digest(self) -> str:
        return hashlib.sha256(self._hashes.data).hexdigest() + hashlib.sha256(self._rows.data).hexdigest()

    @staticmethod
    def read(store: Place, fingerprint: str) -> Index | None:
        """The written index, or None where there is none, or it is damaged or belongs to other shards.

        A local one is mapped, one at a URL is read whole. Its checksum is compared here, 16 bytes a row: a changed
        hash would hide a row without a word.
        """
        try:
            path = store / INDEX_FILE
            remote = isinstance(path, Remote)
            with pa.BufferReader(path.read_bytes()) if remote else pa.memory_map(str(path)) as source:
                batch = pa.ipc.open_file(source).get_batch(0)
            index = Index(numbers(batch.column("hash")), numbers(batch.column("row")))
            told = {"fingerprint": fingerprint, "sha256": index._digest()}
        except (OSError, pa.ArrowException, ValueError, KeyError):
            return None
        same_types = (index._hashes.dtype, index._rows.dtype) == (np.uint64, np.int64)
        metadata = {name.encode(): value.encode() for name, value in told.items()}
        return index if same_types and batch.schema.metadata == metadata else None
