"""Is a store what its records say? Sizes and records, or every byte, row and key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from features.errors import HeedError
from pipeline.fields import regions_from_row
from pipeline.identity import Identity, ShardRecord, shard_path
from pipeline.index import Index
from pipeline.shards import open_shard, shard_format
from pipeline.store import Store


def verify(path: Path, quick: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Check a store part by part: yield each part's name and what is wrong with it, in words (empty: nothing).

    ``quick`` compares sizes with records; otherwise checksums, every row and every key are checked as well.
    """
    identity = Identity.read(path)
    suffix = shard_format(identity.format).SUFFIX
    keys: dict[str, int] = {}
    whole = True
    for number in range(identity.shards):
        problems = list(_shard_problems(path, identity, number, suffix, quick, keys))
        whole = whole and not problems
        yield f"shard {number:06d}", problems
    if whole and not quick:
        store = Store.open(path)
        yield "index", [] if Index.read(path, store.fingerprint()) else ["is missing or stale (look-ups still work)"]


def _shard_problems(
    path: Path, identity: Identity, number: int, suffix: str, quick: bool, keys: dict[str, int]
) -> Iterator[str]:
    file = shard_path(path, number, suffix)
    try:
        record = ShardRecord.read(path, number)
    except HeedError as error:
        yield str(error)
        return
    if record is None:
        yield "is not committed: run the extraction again"
        return
    if not file.exists():
        yield f"{file} is missing"
        return
    if file.stat().st_size != record.bytes:
        yield f"{file} has {file.stat().st_size} bytes where its record says {record.bytes}"
        return
    inputs = len(identity.shard_inputs(number))
    if record.rows + len(record.failed) != inputs:
        yield f"accounts for {record.rows} rows and {len(record.failed)} failures of {inputs} inputs"
    if quick:
        return
    with file.open("rb") as data:
        if hashlib.file_digest(data, "sha256").hexdigest() != record.sha256:
            yield f"{file} does not match its SHA-256"
            return
    try:
        shard = open_shard(file, identity.format, identity.fields)
        for row in range(len(shard)):
            content = shard.row(row)
            key = content["key"]
            if key in keys:
                yield f"key {key!r} is in shard {keys[key]:06d} as well"
            keys[key] = number
            if identity.kind == "regions":
                regions_from_row(content).checked()
    except HeedError as error:
        yield str(error)
