"""`heed import` and `heed store export`: other projects' feature files.

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
class Import:
    """Turn somebody else's feature file into a store, entry by entry."""

    # What the file is: butd-tsv, lxmert-tsv, volta-tsv, uniter-npz, uniter-lmdb, vilbert-lmdb, volta-h5, milvlg-npz,
    # scan-npy, mmf-npy, mmf-lmdb, qvhighlights-npz, mad-h5, clevr-h5, h5 or parquet (docs/formats.md).
    format: Positional[str]
    # The file or folder.
    path: Positional[Path]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # Number type of stored features; int8 has a scale for each box.
    dtype: Literal["float16", "float32", "int8"] = "float16"
    # Entries a shard; 0 takes 32 to 512, the more the larger the file.
    shard_rows: int = 0
    # Also import the entries that the file has got since the store was begun, into new shards.
    append: bool = False

    def run(self, again: Collection[int] = ()) -> int:
        """Import; the shards in ``again`` although they are there."""
        from pipeline.importer import open_import
        from pipeline.job import run_job
        from pipeline.repair import told

        source, spec = open_import(self.format, self.path, self.dtype)
        summary = run_job(spec, source, self.store, shard_rows=self.shard_rows, inline=True,
                          append=self.append, command=told("import", self), again=again, unit="entries")
        print(summary.text())
        return summary.status


@dataclass(frozen=True)
class StoreExport:
    """Write a store as somebody else's feature file, whole or not at all."""

    # What to write: butd-tsv, lxmert-tsv, volta-tsv, uniter-npz, uniter-lmdb, vilbert-lmdb, volta-h5, milvlg-npz,
    # scan-npy, mmf-npy, qvhighlights-npz, mad-h5, clevr-h5, h5 or parquet (docs/formats.md).
    format: Positional[str]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # File or folder to make; it must not be there yet.
    path: Positional[Path]

    def run(self) -> int:
        """Export."""
        from pipeline.exporter import export
        from pipeline.progress import JobProgress
        from pipeline.store import Store

        store = Store.open(self.store)
        with JobProgress("exporting", len(store), "rows") as progress:
            made = export(self.format, store, self.path, progress.update)
        failed = len(store.failures())
        missing = f" The {failed} inputs that failed are not in it." if failed else ""
        print(f"{len(store)} rows written to {', '.join(map(str, made))}.{missing}")
        return 0
