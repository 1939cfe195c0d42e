"""The job: a source in, a store out, on Ray or inline; run again, it goes on where it stopped.

The driver cuts the source into shards, skips those already committed, and hands the others to workers
(`pipeline.worker`), on Ray (`pipeline.ray_job`) or in this process. It holds a lock on a local store meanwhile. A store
at a URL has none: store.json is created only where there is none, so that all who write are of one job, and two of them
at once do work twice and write the same bytes.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.atomic import remains
from pipeline.identity import IDENTITY_FILE, Identity, ShardRecord, shard_path
from pipeline.index import INDEX_FILE, Index
from pipeline.inputs import Planned, settle
from pipeline.places import Place, Remote, files_in, place
from pipeline.progress import JobProgress
from pipeline.retries import without_password
from pipeline.shards import shard_format
from pipeline.sources import Source
from pipeline.store import Store
from pipeline.worker import ASIDE, ReaderSpec, ShardTask, ShardWorker

LOCK = ".lock"
MIN_SHARD_ROWS, MAX_SHARD_ROWS = 32, 512
"""Short shards, as a killed run loses those in flight: 512 images are 75 MB at 36 x 2048 float16."""
SHARDS = 16
"""Shards a small source is cut into, so that all workers have some."""


@dataclass(frozen=True)
class Summary:
    """What a job did, for the person who started it."""

    store: Place
    inputs: int
    stored: int
    failures: Sequence[dict[str, str]]
    skipped: int
    """Files of the source that are no inputs by name."""
    shards: int
    extracted: int
    """Inputs in the shards that this run made or retried; the others were committed before."""
    bytes: int
    seconds: float
    lost: Sequence[str] = ()
    """Shards that no worker could finish, with reasons."""
    unit: str = "images"
    """What the inputs are, in the plural."""
    appended: int = 0
    """Inputs that this run added to the store's plan."""
    vanished: Sequence[str] = ()
    """Keys of inputs that the source has no more; what is stored of them stays."""

    @property
    def status(self) -> int:
        """Exit status: 0 all stored, 3 complete but some inputs failed, 1 shards are missing."""
        return 1 if self.lost else 3 if self.failures else 0

    def text(self, most: int = 20) -> str:
        """The summary in plain words, at most ``most`` failures listed."""
        rate = f" ({self.extracted / self.seconds:.1f} {self.unit}/s)" if self.extracted and self.seconds else ""
        lines = [f"{self.store}: {self.stored} of {self.inputs} {self.unit} stored in {self.shards} shards, "
                 f"{self.bytes / 1e6:.1f} MB; this run took {self.seconds:.1f} s for {self.extracted}{rate}."]
        if self.appended:
            lines.append(f"{self.appended} new {self.unit} were appended in shards of their own.")
        if self.vanished:
            lines.append(f"{len(self.vanished)} {self.unit} are not in the source any more (for example "
                         f"{self.vanished[0]!r}); what is stored of them stays.")
        if self.skipped:
            lines.append(f"{self.skipped} files of the source were passed over: their names are no {self.unit}'.")
        if self.failures:
            lines.append(f"{len(self.failures)} {self.unit} failed; try them again with --retry-failed:")
            lines += [f"  {failure['key']}: {failure['reason']}" for failure in self.failures[:most]]
            if len(self.failures) > most:
                lines.append(f"  … and {len(self.failures) - most} more: heed store info {self.store} --failures")
        lines += [f"Shard not finished: {reason}" for reason in self.lost]
        if self.lost:
            lines.append("Run the same command again; what is committed stays.")
        return "\n".join(lines)


def run_job(
    spec: ReaderSpec,
    source: Source,
    store: str | Place,
    *,
    format: str = "arrow",
    shard_rows: int = 0,
    retry_failed: bool = False,
    actors: int = 0,
    address: str = "",
    inline: bool = False,
    command: dict[str, Any] | None = None,
    again: Collection[int] = (),
    unit: str = "images",
    append: bool = False,
) -> Summary:
    """Read every input of ``source`` into ``store``, a folder or a URL.

    ``shard_rows`` 0 chooses a number; ``actors`` 0 takes one for each CPU core (or each GPU); ``address`` names a Ray
    cluster that shares the file system (or the URLs); ``inline`` works in this process without Ray. ``command`` is what
    `pipeline.repair` needs to run the job again; the shards in ``again`` are made anew though they are committed.
    ``unit`` is what the inputs are called. With ``append`` inputs that the source has got since the store was begun go
    into new shards. Raises `HeedError` where the store holds something else than this job would write.
    """
    store = place(store)
    reader = spec.open() if inline else spec.open_to_plan()
    uri = without_password(source.uri) if "://" in source.uri else str(Path(source.uri).absolute())
    listed = {"uri": uri, "inputs": len(source.items), "digest": source.digest()}
    if command:
        listed["command"] = command
    rows = shard_rows or default_shard_rows(len(source.items))
    identity = Identity(reader.kind, format, reader.fields, reader.describe(), listed, rows)
    with _locked(store, partial(settle, store, identity, source, shard_rows, append, again)) as planned:
        with _told(store):
            tasks, records = _plan(store, planned, retry_failed, again)
        lost: list[str] = []
        total = sum(len(task.items) for task in tasks)
        with JobProgress(f"reading {unit}", total, unit) as progress:
            if inline:
                _run_inline(ShardWorker(reader, store, format), tasks, records, progress)
            elif tasks:
                from pipeline.ray_job import run_on_ray

                lost = run_on_ray(spec, store, format, tasks, records, progress, actors, address)
            seconds = progress.seconds
        if isinstance(store, Path):
            shutil.rmtree(store / ASIDE, ignore_errors=True)
        if not lost:
            finished = Store.open(store)
            if Index.read(store, finished.fingerprint()) is None:
                with _told(store):
                    # What has just been uploaded is not fetched again to learn its keys.
                    keys = finished.keys() if isinstance(store, Path) else _planned_keys(planned, finished.records)
                    Index.build(keys).write(store, finished.fingerprint())
    done = [records[number] for number in sorted(records)]
    return Summary(
        store, len(planned.items), sum(r.rows for r in done), [f for r in done for f in r.failed], source.skipped,
        len(done), total, sum(r.bytes for r in done), seconds, lost, unit, planned.appended, planned.vanished,
    )


def _run_inline(
    worker: ShardWorker, tasks: Sequence[ShardTask], records: dict[int, ShardRecord], progress: JobProgress
) -> None:
    finished = 0
    for task in tasks:
        records[task.number] = worker.run(task)
        finished += len(task.items)
        progress.update(finished)


def default_shard_rows(inputs: int) -> int:
    """Inputs a shard: a function of their number alone, as the plan must not depend on who carries it out."""
    return min(MAX_SHARD_ROWS, max(MIN_SHARD_ROWS, -(-inputs // SHARDS)))


def _planned_keys(planned: Planned, records: Sequence[ShardRecord]) -> Iterator[str]:
    """The keys of all rows: a shard's rows are its inputs in order, but for the failed ones."""
    for record in records:
        failed = {failure["key"] for failure in record.failed}
        keys = (planned.items[number].key for number in planned.identity.shard_inputs(record.shard))
        yield from (key for key in keys if key not in failed)


@contextmanager
def _locked(store: Place, settled: Callable[[], Planned]) -> Iterator[Planned]:
    """Keep other writers out while the block runs; ``settled`` creates the store or checks that it is this job's.

    At a URL others are not kept out.
    """
    if isinstance(store, Remote):
        if not (store / IDENTITY_FILE).is_file() and store.names():
            raise HeedError(f"{store} holds other files and is no store; name an empty or a new folder.")
        with _told(store):
            planned = settled()
        yield planned
        return
    try:
        store.mkdir(parents=True, exist_ok=True)
        ours = {store / LOCK, *remains(store / IDENTITY_FILE)}
        if not (store / IDENTITY_FILE).exists() and not ours.issuperset(store.iterdir()):
            raise HeedError(f"{store} holds other files and is no store; name an empty or a new folder.")
        lock = (store / LOCK).open("w")
    except OSError as error:
        raise HeedError(f"{store} cannot be written: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HeedError(f"Another heed is writing to {store}; wait for it or stop it.") from None
        with _told(store):
            planned = settled()
            for left in (*remains(store / IDENTITY_FILE), *remains(store / INDEX_FILE)):
                left.unlink()
            shutil.rmtree(store / ASIDE, ignore_errors=True)
            (store / ASIDE).mkdir(exist_ok=True)
            (store / "shards").mkdir(exist_ok=True)
        yield planned


@contextmanager
def _told(store: Place) -> Iterator[None]:
    """Turn a full disk or a missing permission into `HeedError`."""
    try:
        yield
    except OSError as error:
        raise HeedError(f"{store} cannot be written: {error.strerror or error}. What is committed stays; mend that and "
                        "run the same command again.") from error


def _plan(
    store: Place, planned: Planned, retry_failed: bool, again: Collection[int]
) -> tuple[list[ShardTask], dict[int, ShardRecord]]:
    """What is left to do, and the records of what is done; a shard whose size is not its record's is done again."""
    identity = planned.identity
    suffix = shard_format(identity.format).SUFFIX
    tasks: list[ShardTask] = []
    records: dict[int, ShardRecord] = {}
    sizes = files_in(store / "shards")
    kept = [number for number in range(identity.shards) if number not in again]
    found = dict(zip(kept, ShardRecord.read_all(store, kept), strict=True))
    for number in range(identity.shards):
        record = found.get(number)
        items = [planned.items[i] for i in identity.shard_inputs(number)]
        if record is None or sizes.get(shard_path(store, number, suffix).name) != record.bytes:
            tasks.append(ShardTask(number, items, retry=False))
        elif retry_failed and record.failed:
            tasks.append(ShardTask(number, items, retry=True))
        else:
            records[number] = record
    return tasks, records
