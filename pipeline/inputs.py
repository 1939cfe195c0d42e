"""Which inputs a store's shards are of: a list for each part of its plan, and how a job goes on from them.

    STORE/inputs/000000.jsonl   the first run's inputs, in order: a line of JSON each, [key, given boxes in hexadecimal]
    STORE/inputs/000001.jsonl   those that were appended later, and so on

The SHA-256 of a list is the part's digest in store.json. With it a store can be resumed, appended to and repaired
though its source has grown since: each input is found again by its key, wherever the source lists it now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from features.errors import HeedError
from pipeline.atomic import atomic_write, remains
from pipeline.identity import Identity, Part, ShardRecord
from pipeline.places import Place, Remote
from pipeline.sources import Item, Source, input_line
from pipeline.store import Store

FOLDER = "inputs"
GONE = "is not in the source any more"


@dataclass(frozen=True)
class Planned:
    """A store's plan, settled with what the source holds now."""

    identity: Identity
    items: Sequence[Item]
    """All inputs in the order of the shards; one that the source has no more has no uri."""
    appended: int = 0
    """Inputs that this run adds to the plan."""
    vanished: Sequence[str] = ()
    """Keys of inputs that the source has no more."""


def settle(
    store: Place, job: Identity, source: Source, shard_rows: int = 0, append: bool = False, again: Collection[int] = ()
) -> Planned:
    """Begin the store that ``job`` describes, or check that the one there is this job's and settle its plan.

    Where the source has inputs that the plan lacks they become a new part if ``append``; shards that are there keep
    their numbers and bytes. The list is written before store.json and that before any shard, so that a run killed in
    between goes on with the same plan. ``again`` are shards to make anew: then only their inputs must be in the source.
    A ``shard_rows`` of 0 is whatever the store has. Raises `HeedError` where the store is another job's, or the source
    has changed in a way that was not asked for.
    """
    if job.create(store):
        _write_list(store, 0, list(map(input_line, source.items)))
        return Planned(job, source.items)
    held = Identity.read(store)
    differences = held.differences(job if shard_rows else replace(job, shard_rows=held.shard_rows))
    if differences:
        raise HeedError(f"{store} was made by another job, so its shards cannot be completed by this one "
                        f"({'; '.join(differences[:4])}). Use the same options, or another folder.")
    lists = [_list(store, held, number, source) for number in range(len(held.parts))]
    if len(lists) == 1 and held.parts[0].digest == job.source["digest"]:
        return Planned(held, source.items)
    items, new = _found(store, lists, source)
    vanished = [item.key for item in items if not item.uri]
    if again:
        _check_again(store, held, items, source, again)
    elif append:
        if new:
            held = _with_part(store, held, job, new)
        return Planned(held, [*items, *new], len(new), vanished)
    elif new or vanished:
        raise HeedError(_changed(store, source, len(items), [item.key for item in new], vanished))
    return Planned(held, items, 0, vanished)


def _found(store: Place, lists: Sequence[Sequence[bytes]], source: Source) -> tuple[list[Item], list[Item]]:
    """The planned inputs as the source has them now, and those of the source that are not planned."""
    here = {item.key: item for item in source.items}
    items: list[Item] = []
    for line in (line for part in lists for line in part):
        key = key_of(line)
        item = here.pop(key, None) or Item(key, "", error=GONE)
        if item.uri and input_line(item) != line:
            given = "text" if item.text is not None else "times" if item.times is not None else "boxes"
            raise HeedError(f"The {given} given for {key!r} {'is not the one' if item.text else 'are not those'} that "
                            f"{store} was planned with. Give the input another key, or extract into a new store.")
        items.append(item)
    return items, list(here.values())


def _with_part(store: Place, held: Identity, job: Identity, new: Sequence[Item]) -> Identity:
    lines = list(map(input_line, new))
    told = job.extractor.get("versions", {})
    part = Part(len(new), _digest(lines), {} if told == held.extractor.get("versions", {}) else told)
    parts = (*held.parts, part)
    whole = {"inputs": sum(each.inputs for each in parts), "digest": _digest([each.digest.encode() for each in parts])}
    grown = replace(held, source={**job.source, **whole}, appended=parts)
    _write_list(store, len(parts) - 1, lines)
    grown.write(store)
    return grown


def _check_again(store: Place, held: Identity, items: Sequence[Item], source: Source, again: Collection[int]) -> None:
    for number in again:
        gone = [items[i].key for i in held.shard_inputs(number) if not items[i].uri]
        if gone:
            raise HeedError(f"{source.uri} does not hold {_named(gone)} any more, of which shard {number:06d} of "
                            f"{store} was made. Bring them back, or name a source that has them.")


def _changed(store: Place, source: Source, planned: int, new: Sequence[str], vanished: Sequence[str]) -> str:
    what = [f"has {_named(new)} that the store has not"] if new else []
    what += [f"does not have {_named(vanished)} any more"] if vanished else []
    return (f"{store} was planned for {planned} inputs, and {source.uri} has changed since: it {' and '.join(what)}. "
            "Add --append to go on all the same: what is stored stays as it is, and new inputs go into new shards.")


def _named(keys: Sequence[str]) -> str:
    return f"{len(keys)} input{'s' if len(keys) > 1 else ''} ({keys[0]!r}{', …' if len(keys) > 1 else ''})"


def key_of(line: bytes) -> str:
    """The key in a line of a list of inputs."""
    return json.loads(line)[0]


def list_path(store: Place, part: int) -> Place:
    """Where the list of a part's inputs is."""
    return store / FOLDER / f"{part:06d}.jsonl"


def read_list(store: Place, identity: Identity, part: int) -> list[bytes]:
    """The lines of a part's list; `HeedError` where it is missing or damaged."""
    path = list_path(store, part)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise HeedError(f"{path} is missing") from None
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != identity.parts[part].digest:
        raise HeedError(f"{path} does not match its SHA-256")
    return data.splitlines(keepends=True)


def _list(store: Place, identity: Identity, part: int, source: Source) -> list[bytes]:
    """The lines of a part's list, which is written anew where it is missing or damaged and can be brought back."""
    try:
        return read_list(store, identity, part)
    except HeedError as error:
        lines = _brought_back(store, identity, part, source)
        if lines is None:
            raise HeedError(f"{error}, and what {source.uri} holds now does not tell what was in it. Bring back the "
                            "former source or that file, or extract into a new store.") from None
    _write_list(store, part, lines)
    return lines


def _brought_back(store: Place, identity: Identity, part: int, source: Source) -> list[bytes] | None:
    """A list whose digest is the part's: all of the source, or those of its inputs that are in the part's shards."""
    wanted = identity.parts[part].digest
    lines = list(map(input_line, source.items))
    if _digest(lines) == wanted:
        return lines
    try:
        keys = {key for number in identity.part_shards(part) for key in _shard_keys(store, identity, number)}
    except HeedError:
        return None
    lines = [line for line in lines if key_of(line) in keys]
    return lines if _digest(lines) == wanted else None


def _shard_keys(store: Place, identity: Identity, number: int) -> list[str]:
    """The inputs of a committed shard, stored and failed."""
    record = ShardRecord.read(store, number)
    if record is None:
        raise HeedError(f"shard {number:06d} is not committed")
    stored = Store(store, identity, [record]).shard(0).keys()
    return [*stored, *(failure["key"] for failure in record.failed)]


def _write_list(store: Place, part: int, lines: Sequence[bytes]) -> None:
    path = list_path(store, part)
    if not isinstance(path, Remote):
        path.parent.mkdir(exist_ok=True)
        for left in remains(path):
            left.unlink(missing_ok=True)
    with atomic_write(path) as file:
        file.writelines(lines)


def _digest(lines: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()
