"""A store: rows in committed shards, found by number or by key. Reading needs neither Ray nor torch.

    STORE/store.json            identity (pipeline.identity)
    STORE/shards/000000.arrow   rows
    STORE/shards/000000.json    the record that commits them: rows, bytes, SHA-256, failed inputs with reasons
    STORE/index.arrow           key -> row, rebuilt in memory where it is missing or stale
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from pipeline.cache import ShardCache, Wanted
from pipeline.fields import Fields, Row, read_fields, read_row, regions_from_row
from pipeline.identity import Identity, ShardRecord, shard_path
from pipeline.index import Index
from pipeline.places import Place, Remote, place
from pipeline.prefetch import AT_ONCE, Prefetcher
from pipeline.scaled import unscaled
from pipeline.shards import Shard, open_shard, shard_format
from pipeline.side_by_side import shared_out

MOST_OPEN = 4096
"""Shards a store keeps open, the least recently used going first: each takes some 10 KB, and a process may map 65,530
files at most, unless its system says otherwise."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error


class Store:
    """An open store. Rows are numbered 0, 1, … through the shards in order."""

    def __init__(
        self, path: Place, identity: Identity, records: Sequence[ShardRecord], check: bool = False,
        cache: ShardCache | None = None,
    ) -> None:
        self.path = path
        self.identity = identity
        self.records = records
        self.check = check
        self.cache = cache or (ShardCache.default() if isinstance(path, Remote) else None)
        """Where shards of a remote store are kept; None for a local one."""
        self._starts = np.cumsum([0, *(record.rows for record in records)])
        self._shards: dict[int, Shard] = {}
        self._known: dict[int, Wanted] = {}
        self._index: Index | None = None
        self._prefetcher = Prefetcher(self.cache) if self.cache else None

    @staticmethod
    def open(
        path: str | Place, partial: bool = False, check: bool = False, cache: ShardCache | None = None
    ) -> Store:
        """Open a store, in a folder or at a URL; its cost grows with the number of shards, not of rows.

        Of a store at a URL the shards come when they are first used, through ``cache`` (`ShardCache.default` unless
        given), each compared with its SHA-256.

        With ``check`` each shard's SHA-256 is compared when it is first used, which reads it whole once; what is read
        is then what was written, or there is a `HeedError`. By default only sizes are compared and a changed bit in a
        shard goes unseen: `heed store verify` finds it.

        Raises `HeedError` where the folder is no store, and, unless ``partial``, where shards of the plan are not
        committed yet.
        """
        path = place(path)
        identity = Identity.read(path)
        found = ShardRecord.read_all(path, range(identity.shards))
        records = [record for record in found if record is not None]
        if len(records) < len(found) and not partial:
            raise HeedError(f"{path} is not finished: {len(records)} of {len(found)} shards are committed. "
                            "Run the same extraction again; it goes on where it stopped.")
        return Store(path, identity, records, check, cache)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __reduce__(self) -> tuple[type[Store], tuple]:
        """What a process that is given the store needs: it opens the shards itself."""
        return Store, (self.path, self.identity, self.records, self.check, self.cache)

    def fingerprint(self) -> str:
        """SHA-256 over the shards' checksums: two stores with one fingerprint hold the same bytes."""
        return hashlib.sha256("".join(record.sha256 for record in self.records).encode()).hexdigest()

    def failures(self) -> list[dict[str, str]]:
        """Inputs that could not be stored: {"key", "reason"}."""
        return [failure for record in self.records for failure in record.failed]

    def shard(self, position: int) -> Shard:
        """The shard at ``position`` among the committed ones, opened where it is not open.

        At most `MOST_OPEN` shards are kept open. Rows and columns of one that is closed stay valid while they are used.
        """
        shard = self._shards.get(position)
        if shard is None:
            self._forget()
            shard = self._shards[position] = self._open(position)
        elif len(self.records) > MOST_OPEN:  # or nothing is ever closed, and the order does not matter
            self._shards.pop(position, None)
            self._shards[position] = shard
        return shard

    def _open(self, position: int) -> Shard:
        record, path = self.records[position], self.shard_path(position)
        if isinstance(path, Remote):
            assert self.cache is not None
            with self.cache.file(self._wanted(position), self.check) as file:
                shard = open_shard(file, self.identity.format, self.identity.fields)
        else:
            size = path.stat().st_size if path.exists() else None
            if size != record.bytes:
                what = "is missing" if size is None else f"has {size} bytes where its record says {record.bytes}"
                raise HeedError(f"Shard {path} {what}. heed store repair {self.path} makes it again.")
            if self.check and file_digest(path) != record.sha256:
                raise HeedError(f"Shard {path} does not match its SHA-256: its bytes have changed since they were "
                                f"written. heed store repair {self.path} makes it again.")
            shard = open_shard(path, self.identity.format, self.identity.fields)
        if len(shard) != record.rows:
            raise HeedError(f"Shard {path} has {len(shard)} rows where its record says {record.rows}.")
        return shard

    def _forget(self) -> None:
        """Close shards before one is opened: some of the least recently used where there are many, and those that have
        left the cache, as their bytes would stay on its disk."""
        excess = list(self._shards)[:MOST_OPEN // 8] if len(self._shards) >= MOST_OPEN else []
        if self.cache:
            excess += [position for position in list(self._shards) if not self.cache.holds(self._wanted(position))]
        for position in excess:
            self._shards.pop(position, None)

    def _wanted(self, position: int) -> Wanted:
        if position not in self._known:
            path, record = self.shard_path(position), self.records[position]
            assert isinstance(path, Remote)
            self._known[position] = Wanted(path, record.bytes, record.sha256)
        return self._known[position]

    def shard_path(self, position: int) -> Place:
        """File of the shard at ``position`` among the committed ones."""
        suffix = shard_format(self.identity.format).SUFFIX
        return shard_path(self.path, self.records[position].shard, suffix)

    def locate(self, row: int) -> tuple[int, int]:
        """(shard position, row in that shard) of a row."""
        if not 0 <= row < len(self):
            raise HeedError(f"{self.path} has {len(self)} rows; there is no row {row}.")
        position = int(self._starts.searchsorted(row, side="right")) - 1
        return position, int(row - self._starts[position])

    @property
    def fields(self) -> Fields:
        """What `row` gives: the stored fields, int8 features with scales as float32 (`pipeline.scaled`)."""
        return read_fields(self.identity.fields)

    def row(self, row: int, raw: bool = False) -> Row:
        """One row by number; ``raw``: as it is stored, int8 features beside their scales."""
        position, inner = self.locate(row)
        stored = self.shard(position).row(inner)
        return stored if raw else read_row(stored, self.identity.fields)

    def regions(self, row: int) -> Regions:
        """One row of a store of kind ``regions``."""
        return regions_from_row(self.row(row))

    def prefetch(self, rows: Sequence[int] | np.ndarray) -> None:
        """Say which rows will be read next, in that order: several batches ahead, as often as the order advances.

        Returns at once and raises nothing. Of a remote store the shards of these rows that are not here yet are
        fetched in the background, the first needed first, up to half of the cache's limit ahead; each call takes the
        place of what former ones asked for and is not under way. Of a local store nothing is done.
        """
        if self._prefetcher:
            rows = np.asarray(rows)
            positions = self._starts.searchsorted(rows[(rows >= 0) & (rows < len(self))], side="right") - 1
            _, first = np.unique(positions, return_index=True)
            self._prefetcher.ask(self._wanted(position) for position in positions[np.sort(first)].tolist())

    def keys(self) -> Iterator[str]:
        """All keys in the order of the rows."""
        for position in range(len(self.records)):
            if self._prefetcher:
                self._prefetcher.ask(map(self._wanted, range(len(self.records))[position:position + 2 * AT_ONCE]))
            yield from self.shard(position).keys()

    def key(self, row: int) -> str:
        """One row's key."""
        position, inner = self.locate(row)
        return self.shard(position).key(inner)

    def find(self, key: str, unread: bool = False) -> int | None:
        """Number of the row with this key, or None.

        ``unread``: by the 64 bits of its hash alone where only one row has them, so that no shard is opened, which of
        a remote store would fetch it; who reads the row then compares its `key`.
        """
        if self._index is None:
            self._index = Index.read(self.path, self.fingerprint())
            if self._index is None:
                if isinstance(self.path, Remote):
                    logging.getLogger("heed").warning("%s has no index that fits, so all its shards are fetched for "
                                                      "their keys; heed store repair writes one", self.path)
                self._index = Index.build(self.keys())
        candidates = self._index.candidates(key).tolist()
        if unread and len(candidates) == 1:
            return candidates[0]
        return next((row for row in candidates if self.key(row) == key), None)

    def gather(
        self, name: str, rows: Sequence[int] | np.ndarray, spans: Sequence[tuple[int, int]] | np.ndarray | None = None,
        raw: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A ragged field of many rows, padded with zeros; with ``spans`` only elements start to stop - 1 of each row.

        Returns values (rows, longest, …) in the field's number type, and lengths (rows,) int64. A span is cut to the
        elements that its row has. int8 with scales comes as float32 unless ``raw``; the scales are a field as well.
        A batch of some MB is copied in a few threads (`pipeline.side_by_side`).
        """
        rows = np.asarray(rows)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise HeedError(f"{self.path} has {len(self)} rows; rows {rows.min()} to {rows.max()} were asked for.")
        field = self.identity.fields[name]
        scale = "" if raw else field.scale
        pieces = self._pieces(name, rows, spans)
        scales = self._pieces(scale, rows, spans) if scale else []
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        out = np.empty((len(rows), int(lengths.max(initial=0)), *field.inner), np.float32 if scale else field.dtype)

        def fill(start: int, stop: int) -> None:
            for number in range(start, stop):
                slot, piece = out[number], pieces[number]
                if scale:
                    unscaled(piece, scales[number], slot[: len(piece)])
                else:
                    slot[: len(piece)] = piece
                slot[len(piece):] = 0

        shared_out(fill, len(rows), out.nbytes)
        return out, lengths

    def _pieces(
        self, name: str, rows: np.ndarray, spans: Sequence[tuple[int, int]] | np.ndarray | None
    ) -> list[np.ndarray]:
        """A ragged field's stored values of each row, cut to its span: views of the shards."""
        if not self.identity.fields[name].ragged:
            raise HeedError(f"field {name!r} of {self.path} has one size in every row; read it with row().")
        positions = np.searchsorted(self._starts, rows, side="right") - 1
        pieces = [self.shard(position).array(inner, name) for position, inner
                  in zip(positions.tolist(), (rows - self._starts[positions]).tolist(), strict=True)]
        if spans is None:
            return pieces
        return [piece[max(0, start):max(0, stop)]
                for piece, (start, stop) in zip(pieces, np.asarray(spans).tolist(), strict=True)]
