"""`heed store convert|merge|subset`: stores made from stores.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pipeline.commands.options import PlaceOption


@dataclass(frozen=True)
class StoreConvert:
    """Write a store's rows as a new store: another shard format, number type or shard size.

    Run again, an interrupted conversion goes on where it stopped.
    """

    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # Folder or URL of the new store.
    out: Positional[PlaceOption]
    # Shard format: arrow to train from, webdataset to exchange; as it is where none is given.
    format: Literal["arrow", "webdataset"] | None = None
    # Number type of features; as it is where none is given. int8 has a scale for each box.
    dtype: Literal["float16", "float32", "int8"] | None = None
    # Inputs a shard; 0 keeps the store's.
    shard_rows: int = 0

    def run(self, again: Collection[int] = ()) -> int:
        """Convert; the shards in ``again`` although they are there."""
        from pipeline.convert import open_convert
        from pipeline.identity import Identity
        from pipeline.job import run_job
        from pipeline.repair import told

        identity = Identity.read(self.store)
        source, spec = open_convert(self.store, self.dtype or "")
        summary = run_job(spec, source, self.out, format=self.format or identity.format,
                          shard_rows=self.shard_rows or identity.shard_rows, inline=True,
                          command=told("store convert", self), again=again, unit="rows")
        print(summary.text())
        return summary.status


@dataclass(frozen=True)
class StoreMerge:
    """Write the rows of several stores of one kind and extractor as one new store.

    Inputs that failed in a store stay on the books unless another store has them. Run again, an interrupted merge goes
    on where it stopped.
    """

    # Folder or URL of the new store.
    out: Positional[PlaceOption]
    # Folders or URLs of the stores, two or more; rows keep this order.
    stores: Positional[tuple[PlaceOption, ...]]
    # Where two stores have a row with one key: an error, or the first store's row.
    duplicates: Literal["error", "first"] = "error"
    # Merge stores whose extractors had other weights or options, too; the differences are noted in the new store.
    allow_mixed: bool = False
    # Shard format; the first store's where none is given.
    format: Literal["arrow", "webdataset"] | None = None
    # Number type of features; the first store's where none is given.
    dtype: Literal["float16", "float32", "int8"] | None = None
    # Inputs a shard; 0 keeps the first store's.
    shard_rows: int = 0

    def run(self, again: Collection[int] = ()) -> int:
        """Merge; the shards in ``again`` although they are there."""
        from pipeline.identity import Identity
        from pipeline.job import run_job
        from pipeline.merge import open_merge
        from pipeline.repair import told

        source, spec = open_merge(self.stores, self.dtype or "", self.duplicates, self.allow_mixed)
        identity = Identity.read(spec.paths[0])
        summary = run_job(spec, source, self.out, format=self.format or identity.format,
                          shard_rows=self.shard_rows or identity.shard_rows, inline=True,
                          command=told("store merge", self), again=again, unit="rows")
        print(summary.text())
        return summary.status


@dataclass(frozen=True)
class StoreSubset:
    """Write some of a store's rows as a new store, in the order they have.

    Exit status 3 says that keys of the list are not in the store, or failed there; they are listed with the reason.
    """

    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # Folder or URL of the new store.
    out: Positional[PlaceOption]
    # The keys to take: text with one a line, or a .jsonl, .csv or .parquet file with a column key.
    keys: Path | None = None
    # Patterns of keys to take, such as 'val2014/*' (* stands for any text); with --keys both must hold.
    match: tuple[str, ...] = ()
    # Shard format; as it is where none is given.
    format: Literal["arrow", "webdataset"] | None = None
    # Number type of features; as it is where none is given.
    dtype: Literal["float16", "float32", "int8"] | None = None
    # Inputs a shard; 0 keeps the store's.
    shard_rows: int = 0
    # Also take what the list has got since the subset was begun, into new shards.
    append: bool = False

    def run(self, again: Collection[int] = ()) -> int:
        """Take the subset; the shards in ``again`` although they are there."""
        from dataclasses import replace

        from pipeline.identity import Identity
        from pipeline.job import run_job
        from pipeline.repair import told
        from pipeline.subset import open_subset, read_keys

        path = Path(self.keys).absolute() if self.keys else None
        source, spec = open_subset(self.store, read_keys(path) if path else None, self.match, self.dtype or "")
        identity = Identity.read(self.store)
        summary = run_job(spec, source, self.out, format=self.format or identity.format,
                          shard_rows=self.shard_rows or identity.shard_rows, inline=True, append=self.append,
                          command=told("store subset", replace(self, keys=path)), again=again, unit="rows")
        print(summary.text())
        return summary.status
