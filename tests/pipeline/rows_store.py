"""A store of any rows, written by the job itself."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.fields import Field, Fields, Row, clip_fields
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import Store


class Rows:
    """Reads the rows it was given, by key."""

    def __init__(self, rows: Sequence[Row], fields: Fields, kind: str) -> None:
        self.rows, self.fields, self.kind = {row["key"]: row for row in rows}, fields, kind

    def open(self):
        return self

    open_to_plan = open

    def describe(self):
        return {"name": "rows"}

    def read(self, items):
        for item in items:
            yield item, self.rows[item.key]


def rows_store(
    path: Path, rows: Sequence[Row], fields: Fields, kind: str = "clips", shard_rows: int = 4, format: str = "arrow"
) -> Store:
    source = Source("rows", [Item(row["key"], row["key"], 1) for row in rows], 0)
    run_job(Rows(rows, fields, kind), source, path, format=format, shard_rows=shard_rows, inline=True)
    return Store.open(path)


def clip_rows(keys: Sequence[str], dim: int = 3, seed: int = 0) -> list[Row]:
    """For each key 1 to 7 clips of two seconds, which follow from (keys, seed)."""
    rng = np.random.default_rng(seed)
    rows = []
    for key in keys:
        n = int(rng.integers(1, 8))
        ends = np.arange(2, 2 * n + 1, 2, dtype=np.float32)
        rows.append({"key": key, "duration": 2.0 * n, "spans": np.stack([ends - 2, ends], 1),
                     "features": rng.normal(size=(n, dim)).astype(np.float16)})
    return rows


CLIPS = clip_fields(3)
MIXED = {**CLIPS, "mean": Field("float32", (2,)), "title": Field("string"), "jpeg": Field("bytes")}


def mixed_rows(keys: Sequence[str]) -> list[Row]:
    """`clip_rows` with a value of fixed size, a string and bytes."""
    return [{**row, "mean": np.array([i, -i], np.float32), "title": f"title {i}", "jpeg": bytes([i, i])}
            for i, row in enumerate(clip_rows(keys))]
