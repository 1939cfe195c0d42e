"""One shard, start to finish: read its inputs into rows, write aside, commit. What every actor of a job runs.

A shard is a pure function of its inputs and of the reader that turns them into rows: a reader sees a shard's inputs in
plan order, and rows are written in that order, whoever computes them and when.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from features.errors import HeedError
from pipeline.atomic import atomic_write
from pipeline.cache import copied
from pipeline.fields import Fields, Row
from pipeline.identity import ShardRecord, record_path, shard_path
from pipeline.places import Place
from pipeline.shards import open_shard, shard_format
from pipeline.sources import Item

ASIDE = "unfinished"
"""Folder below the store in which files grow before they are renamed into place."""


class Reader(Protocol):
    """Turns inputs into rows: a loaded detector, or somebody's feature file."""

    kind: str
    """Kind of store the rows are for: regions, frames, clips."""
    fields: Fields

    def describe(self) -> dict[str, Any]:
        """What makes the rows, for the store's identity."""
        ...

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each input, in order, with its row or the reason it has none."""
        ...


class ReaderSpec(Protocol):
    """How to open a reader; it travels to the workers, the reader does not."""

    def open(self) -> Reader:
        """Load what the reader needs, once a worker."""
        ...

    def open_to_plan(self) -> Reader:
        """A reader for a driver that only plans and may have no accelerator."""
        ...


@dataclass(frozen=True)
class ShardTask:
    """What is to be done for one shard."""

    number: int
    items: Sequence[Item]
    retry: bool
    """Keep the committed rows and try only the failed inputs again."""


class ShardWorker:
    """A reader and a store: extracts shards, one after another."""

    def __init__(self, reader: Reader, store: Place, format: str) -> None:
        self.reader, self.store, self.format = reader, store, format
        self.done = 0
        """Inputs of the present shard already looked at, for progress."""

    def run(self, task: ShardTask) -> ShardRecord:
        """Do one task and commit its shard."""
        rows = self._committed(task.number) if task.retry else {}
        self.done = len(rows)
        failed = {item.key: item.error for item in task.items if not item.uri and item.key not in rows}
        for item, result in self.reader.read([item for item in task.items if item.uri and item.key not in rows]):
            if isinstance(result, HeedError):
                failed[item.key] = str(result)
            else:
                rows[item.key] = result
            self.done += 1
        try:
            return self._commit(
                task.number,
                [rows[item.key] for item in task.items if item.key in rows],
                [{"key": item.key, "reason": failed[item.key]} for item in task.items if item.key in failed],
            )
        except OSError as error:
            raise HeedError(f"Shard {task.number:06d} of {self.store} cannot be written: {error.strerror or error}. "
                            "What is committed stays; mend that and run the same command again.") from error

    def _committed(self, number: int) -> dict[str, Row]:
        path = shard_path(self.store, number, shard_format(self.format).SUFFIX)
        record = ShardRecord.read(self.store, number)
        if record is None:
            return {}
        with copied(path, record.bytes, record.sha256) as file:
            shard = open_shard(file, self.format, self.reader.fields)
        return {shard.key(i): shard.row(i) for i in range(len(shard))}

    def _commit(self, number: int, rows: Sequence[Row], failed: Sequence[dict[str, str]]) -> ShardRecord:
        writer = shard_format(self.format)
        aside = self.store / ASIDE
        with atomic_write(shard_path(self.store, number, writer.SUFFIX), aside) as file:
            writer.write(file, rows, self.reader.fields)
            file.flush()
            with Path(file.name).open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            record = ShardRecord(number, len(rows), Path(file.name).stat().st_size, digest, failed)
            if not self._is_committed(record):
                # From here until the new record is written, no record may vouch for the file.
                record_path(self.store, number).unlink(missing_ok=True)
        record.write(self.store, aside)
        return record

    def _is_committed(self, record: ShardRecord) -> bool:
        """Whether another worker has just committed the same bytes: one of a killed run may live on for seconds."""
        try:
            return ShardRecord.read(self.store, record.shard) == record
        except HeedError:
            return False
