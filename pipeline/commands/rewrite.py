"""`heed store convert`: stores made from stores.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True)
class StoreConvert:
    """Write a store's rows as a new store: another shard format, number type or shard size.

    Run again, an interrupted conversion goes on where it stopped.
    """

    # Folder of the store.
    store: Positional[Path]
    # Folder of the new store.
    out: Positional[Path]
    # Shard format: arrow to train from, webdataset to exchange; as it is where none is given.
    format: Literal["arrow", "webdataset"] | None = None
    # Number type of features; as it is where none is given.
    dtype: Literal["float16", "float32"] | None = None
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
