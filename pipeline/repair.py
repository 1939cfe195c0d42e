"""Make a store's damaged shards again, and no others, by running the command that made it.

A job keeps its command in store.json, under ``source.command``, which is told and never compared: whatever it says, the
job refuses to write where its identity is not the store's. Where a store was moved or its source was, the paths of the
present day are put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from features.errors import HeedError
from pipeline.commands.clips import ExtractClips
from pipeline.commands.exchange import Import
from pipeline.commands.extract import ExtractRegions
from pipeline.commands.frames import ExtractFrames
from pipeline.commands.rewrite import StoreConvert, StoreMerge, StoreSubset
from pipeline.commands.sound import ExtractSound
from pipeline.commands.text import ExtractText
from pipeline.identity import Identity, ShardRecord
from pipeline.index import INDEX_FILE, Index
from pipeline.places import Place, place
from pipeline.store import Store

MAKERS = {
    "extract regions": (ExtractRegions, "source", "store"),
    "extract frames": (ExtractFrames, "source", "store"),
    "extract clips": (ExtractClips, "source", "store"),
    "extract sound": (ExtractSound, "source", "store"),
    "extract text": (ExtractText, "captions", "store"),
    "import": (Import, "path", "store"),
    "store convert": (StoreConvert, "store", "out"),
    "store merge": (StoreMerge, "stores", "out"),
    "store subset": (StoreSubset, "store", "out"),
}
"""Commands that make stores, with the names of their options for the source (lines of it for several) and the store."""
LEFT_OUT = {"actors", "address", "retry_failed", "append"}
"""Options that say how a job was run on that day, not what it makes."""


def told(name: str, options: Any) -> dict[str, Any]:
    """What store.json keeps of the command ``name``: its options but the paths of source and store, as JSON."""
    _, source, store = MAKERS[name]
    return {"name": name, "options": _kept(asdict(options), {source, store, *LEFT_OUT})}


def _kept(value: dict[str, Any], without: set[str]) -> dict[str, Any]:
    return {name: _kept(inner, without) if isinstance(inner, dict) else str(inner) if isinstance(inner, Path) else inner
            for name, inner in value.items() if name not in without}


def maker(store: str | Place, source: str = "") -> Any:
    """The command that made ``store``, ready to run, reading ``source`` where that has moved.

    Raises `HeedError` where store.json names no command or the source is not there.
    """
    identity = Identity.read(store)
    uri = source or identity.source["uri"]
    command = identity.source.get("command") or {}
    if command.get("name") not in MAKERS:
        raise HeedError(f"{store} does not say which heed command made it, so its damaged shards cannot be made again "
                        "from here; the program that made it can, by pipeline.job.run_job(…, again=their numbers).")
    gone = [line for line in uri.splitlines() if not _is_there(line)]
    if gone:
        raise HeedError(f"The source of {store}, {', '.join(gone)}, is not there any more, so its damaged shards "
                        "cannot be made again; bring it back, say where it is now with --source, or copy those shards "
                        "from elsewhere.")
    kind, source_name, store_name = MAKERS[command["name"]]
    read = tuple(map(place, uri.splitlines())) if source_name == "stores" else uri
    try:
        return _from_json(kind, {**command["options"], source_name: read, store_name: str(store)})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise HeedError(f"The command in {store}/store.json is not one that this heed can run: {error}.") from error


def _is_there(uri: str) -> bool:
    path = Path(uri)
    return "://" in uri or (any(path.parent.glob(path.name)) if "*" in path.name else path.exists())


def _from_json(kind: Any, value: dict[str, Any]) -> Any:
    """A dataclass from its JSON: inverse of `dataclasses.asdict`, as far as commands need it."""
    hints, options = get_type_hints(kind), {}
    for name in {option.name for option in fields(kind)} & set(value):
        given = value[name]
        if is_dataclass(hints[name]):
            given = _from_json(hints[name], given)
        elif hints[name] == Place:
            given = place(given)
        elif hints[name] is Path:
            given = Path(given)
        options[name] = tuple(given) if isinstance(given, list) else given
    return kind(**options)


def remake(store: str | Place, shards: Sequence[int], source: str = "") -> list[str]:
    """Run the store's command for ``shards`` only; in words, what is not as it was (empty: the former bytes are back).

    Raises `HeedError` as `maker` does, before anything is changed.
    """
    store = place(store)
    command = maker(store, source)
    former = {number: _record(store, number) for number in shards}
    if command.run(again=shards) == 1:
        return ["some shards could not be made; heed store repair may be run again"]
    if isinstance(store, Path):  # at a URL it would fetch all shards; the job has seen to an index that is missing
        write_index(store)
    return [f"shard {number:06d} has other bytes than before: the source has changed, or a library that reads it "
            "(versions in store.json)"
            for number, old in former.items() if old and old != ShardRecord.read(store, number)]


def write_index(store: str | Place) -> None:
    """Write index.arrow from the keys, where it is not exactly what they give."""
    store = place(store)
    opened = Store.open(store)
    fingerprint, index = opened.fingerprint(), Index.build(opened.keys())
    path = store / INDEX_FILE
    try:
        if not path.is_file() or path.read_bytes() != index.to_bytes(fingerprint):
            index.write(store, fingerprint)
    except OSError as error:
        raise HeedError(f"{path} cannot be written: {error.strerror or error}.") from error


def _record(store: Place, number: int) -> ShardRecord | None:
    try:
        return ShardRecord.read(store, number)
    except HeedError:
        return None
