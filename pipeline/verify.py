"""Is a store what its records say? Sizes and records, or every byte, row and key."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.errors import HeedError
from pipeline.cache import copied
from pipeline.fields import check_row, read_row
from pipeline.identity import Identity, ShardRecord, record_path, shard_path
from pipeline.index import INDEX_FILE, Index, key_hash
from pipeline.inputs import key_of, read_list
from pipeline.places import AT_ONCE, Place, Remote, files_in, place, size_of
from pipeline.shards import open_shard, shard_format
from pipeline.store import Store, file_digest

THREADS = min(8, os.cpu_count() or 1)
"""Shards looked at at once; checksums and numpy let other threads run meanwhile."""
FETCHING = 4
"""Shards of a remote store looked at at once: as many are on this machine's disk meanwhile."""


@dataclass
class _Looked:
    """What one shard's check found, and the hashes of its keys."""

    problems: list[str] = field(default_factory=list)
    stored: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    failed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))


def verify(path: str | Place, quick: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Check a store part by part: yield each part's name and what is wrong with it, in words (empty: nothing).

    ``quick`` compares sizes with records, and those with the plan. Otherwise every checksum is compared, every row
    decoded, and where all shards are sound three more parts follow them: "inputs" (the lists of what was planned are
    whole, and each shard holds just its own), "keys" (no two inputs share one) and "index" (it holds each key at its
    row, and nothing else). Shards are looked at several at once and told in plan order. Those of a remote store are
    fetched anew, whatever the cache holds.
    """
    path = place(path)
    identity = Identity.read(path)
    looked: list[_Looked] = []
    for number, result in enumerate(_all_shards(path, identity, quick)):
        looked.append(result)
        yield f"shard {number:06d}", result.problems
    if quick or any(result.problems for result in looked):
        return
    store = Store.open(path)
    yield "inputs", list(_input_problems(store, looked))
    yield "keys", list(_shared_keys(store, looked))
    yield "index", list(_index_problems(store, [result.stored for result in looked]))


def shard_number(part: str) -> int | None:
    """The number of the shard that `verify` calls ``part``; None where it is no shard."""
    kind, _, number = part.partition(" ")
    return int(number) if kind == "shard" else None


def strays(path: str | Place) -> list[str]:
    """Names of files in shards/ that are not the store's; nothing reads them, so they are no fault.

    None where it is a web server's folder, which cannot be listed.
    """
    path = place(path)
    if isinstance(path, Remote) and path.scheme in ("http", "https"):
        return []
    identity = Identity.read(path)
    suffix = shard_format(identity.format).SUFFIX
    own = {name.name for number in range(identity.shards)
           for name in (shard_path(path, number, suffix), record_path(path, number))}
    return sorted(set(files_in(path / "shards")) - own)


def _all_shards(path: Place, identity: Identity, quick: bool) -> Iterator[_Looked]:
    ahead: deque[Future[_Looked]] = deque()
    threads = THREADS if isinstance(path, Path) else AT_ONCE if quick else FETCHING
    with ThreadPoolExecutor(threads) as pool:
        for number in range(identity.shards):
            ahead.append(pool.submit(_look, path, identity, number, quick))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _look(path: Place, identity: Identity, number: int, quick: bool) -> _Looked:
    looked = _Looked()
    file = shard_path(path, number, shard_format(identity.format).SUFFIX)
    try:
        record = ShardRecord.read(path, number)
        if record is None:
            looked.problems.append("is not committed: run the job again")
            return looked
        looked.problems += _record_problems(file, record, len(identity.shard_inputs(number)))
        if not quick and not looked.problems:
            with copied(file, record.bytes, record.sha256) as here:
                _look_inside(here, identity, record, looked)
    except HeedError as error:
        looked.problems.append(str(error))
    except Exception as error:  # a reader that stumbles over damage must not keep the other shards from being told
        looked.problems.append(f"{file} cannot be read: {error!r}")
    return looked


def _record_problems(file: Place, record: ShardRecord, inputs: int) -> Iterator[str]:
    size = size_of(file)
    if size is None:
        yield f"{file} is missing"
    elif size != record.bytes:
        yield f"{file} has {size} bytes where its record says {record.bytes}"
    if record.rows + len(record.failed) != inputs:
        yield f"accounts for {record.rows} rows and {len(record.failed)} failures of {inputs} inputs"


def _look_inside(file: Path, identity: Identity, record: ShardRecord, looked: _Looked) -> None:
    if file_digest(file) != record.sha256:
        looked.problems.append(f"{file} does not match its SHA-256")
        return
    shard = open_shard(file, identity.format, identity.fields)
    if len(shard) != record.rows:
        looked.problems.append(f"{file} has {len(shard)} rows where its record says {record.rows}")
    keys = []
    for row in range(len(shard)):
        content = shard.row(row)
        keys.append(content["key"])
        try:
            check_row(identity.kind, read_row(content, identity.fields))
        except HeedError as error:
            looked.problems.append(f"row {row} ({content['key']!r}): {error}")
    looked.stored = _hashes(keys)
    looked.failed = _hashes([failure["key"] for failure in record.failed])


def _hashes(keys: Sequence[str]) -> np.ndarray:
    return np.fromiter((key_hash(key) for key in keys), np.uint64, len(keys))


def _input_problems(store: Store, looked: Sequence[_Looked]) -> Iterator[str]:
    """In words, each list of inputs that is not whole, and each shard that holds other inputs than its list says."""
    identity = store.identity
    for part in range(len(identity.parts)):
        try:
            lines = read_list(store.path, identity, part)
        except HeedError as error:
            yield f"{error}; heed store repair {store.path} writes it again from the source"
            continue
        shards = identity.part_shards(part)
        first = identity.shard_inputs(shards.start).start
        for number in shards:
            planned = [key_of(lines[i - first]) for i in identity.shard_inputs(number)]
            there = np.concatenate([looked[number].stored, looked[number].failed])
            lacking = np.flatnonzero(~np.isin(_hashes(planned), there))
            if len(lacking):
                yield (f"shard {number:06d} has other inputs in the place of {len(lacking)} that were planned "
                       f"({planned[lacking[0]]!r})")


def _shared_keys(store: Store, looked: Sequence[_Looked]) -> Iterator[str]:
    """In words, each key that two inputs have. Only hashes are kept of all; keys are read where two are equal."""
    hashes = np.concatenate([np.zeros(0, np.uint64), *(part for each in looked for part in (each.stored, each.failed))])
    hashes.sort()
    twice = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    places: dict[str, list[str]] = {}
    for position, each in enumerate(looked if len(twice) else ()):
        shard, failed = store.shard(position), store.records[position].failed
        for row in np.flatnonzero(np.isin(each.stored, twice)):
            places.setdefault(shard.key(int(row)), []).append(f"shard {position:06d}")
        for number in np.flatnonzero(np.isin(each.failed, twice)):
            places.setdefault(failed[int(number)]["key"], []).append(f"the failures of shard {position:06d}")
    for key, where in places.items():
        if len(where) > 1:
            yield f"key {key!r} is in {' and in '.join(where)}"


def _index_problems(store: Store, hashes: Sequence[np.ndarray]) -> Iterator[str]:
    index = Index.from_hashes(np.concatenate([np.zeros(0, np.uint64), *hashes]))
    file = store.path / INDEX_FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = None
    if data != index.to_bytes(store.fingerprint()):
        state = "is missing" if data is None else "is stale or damaged"
        yield f"{file} {state} (look-ups then read all keys); heed store repair {store.path} writes it again"
