"""What a store is: the content of store.json and of each shard's commit record.

The shard plan is part of it: input i of the source goes to shard i // shard_rows, so that a shard's content follows
from the identity and its number alone.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.fields import Field, Fields
from pipeline.sealed import unsealed, write_sealed

SCHEMA_VERSION = 1
IDENTITY_FILE = "store.json"
MEMBERS = {"heed_store", "kind", "format", "fields", "extractor", "source", "plan"}


@dataclass(frozen=True)
class Identity:
    """store.json."""

    kind: str
    """regions, frames, clips, …"""
    format: str
    """arrow or webdataset."""
    fields: Fields
    extractor: dict[str, Any]
    """What made the rows: name, weights digest, options, vocabularies; key ``versions`` is told, never compared."""
    source: dict[str, Any]
    """inputs and digest; uri and command (what `pipeline.repair` runs) are told, never compared."""
    shard_rows: int
    """Inputs a shard."""

    @property
    def shards(self) -> int:
        """Number of shards in the plan."""
        return -(-self.source["inputs"] // self.shard_rows)

    def shard_inputs(self, number: int) -> range:
        """The inputs of shard ``number``, by their place in the source."""
        first = number * self.shard_rows
        return range(first, min(first + self.shard_rows, self.source["inputs"]))

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "heed_store": SCHEMA_VERSION, "kind": self.kind, "format": self.format,
            "fields": {name: field.to_json() for name, field in self.fields.items()},
            "extractor": self.extractor, "source": self.source,
            "plan": {"shard_rows": self.shard_rows, "shards": self.shards},
        }

    def write(self, store: Path) -> None:
        """Write store.json."""
        write_sealed(store / IDENTITY_FILE, self.to_json())

    @staticmethod
    def read(store: Path) -> Identity:
        """Read store.json; `HeedError` where there is none or it is damaged or a newer heed's."""
        path = store / IDENTITY_FILE
        try:
            data = path.read_bytes()
            version = json.loads(data)["heed_store"]  # first, as a later schema may seal in another way
            if version > SCHEMA_VERSION:
                raise HeedError(f"{store} has store schema {version}; this heed reads up to {SCHEMA_VERSION}. "
                                "Update heed to read it.")
            value = unsealed(data)
            if set(value) != MEMBERS:
                raise ValueError(f"its members are {', '.join(value)}")
            return Identity(
                kind=value["kind"], format=value["format"],
                fields={name: Field.from_json(spec) for name, spec in value["fields"].items()},
                extractor=value["extractor"], source=value["source"], shard_rows=value["plan"]["shard_rows"],
            )
        except FileNotFoundError:
            near = [p.name for p in store.parent.iterdir() if p.is_dir()] if store.parent.is_dir() else []
            close = [] if store.exists() else difflib.get_close_matches(store.name, near, 1)
            hint = f" Did you mean {store.parent / close[0]}?" if close else ""
            raise HeedError(f"{store} is not a store: it has no {IDENTITY_FILE}.{hint}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HeedError(f"{path} is damaged: {error!r}. Bring it back from a copy, or make the store again; "
                            "nothing else says what its shards hold.") from error

    def differences(self, other: Identity) -> list[str]:
        """In words, how ``other`` would give different shards; empty where it would give the same."""
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        told = ("source.uri", "source.command", "extractor.versions", "extractor.options.device", "plan.shards")
        names = sorted(name for name in {*mine, *theirs} if not name.startswith(told))
        return [f"{name}: {mine.get(name, 'nothing')} in the store, {theirs.get(name, 'nothing')} now"
                for name in names if mine.get(name) != theirs.get(name)]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: leaf for part, inner in value.items() for key, leaf in _flat(inner, f"{name}.{part}").items()}
    return {name.lstrip("."): list(value) if isinstance(value, tuple) else value}


@dataclass(frozen=True)
class ShardRecord:
    """shards/NNNNNN.json: written last, it commits the shard. What has no record does not exist."""

    shard: int
    rows: int
    bytes: int
    sha256: str
    failed: Sequence[dict[str, str]] = field(default=())
    """Inputs not stored: {"key", "reason"}, in the order of the source."""

    def write(self, store: Path, aside: Path) -> None:
        """Commit the shard."""
        value = {"shard": self.shard, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256,
                 "failed": list(self.failed)}
        write_sealed(record_path(store, self.shard), value, aside)

    @staticmethod
    def read(store: Path, number: int) -> ShardRecord | None:
        """The record of shard ``number``, None where it is not committed; `HeedError` where the record is damaged."""
        path = record_path(store, number)
        try:
            record = ShardRecord(**unsealed(path.read_bytes()))
            if record.shard != number:
                raise ValueError(f"it is the record of shard {record.shard:06d}")
            return record
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise HeedError(f"The commit record {path} is damaged: {error}. "
                            f"heed store repair {store} makes that shard again.") from error


def record_path(store: Path, number: int) -> Path:
    """Where a shard's commit record is."""
    return store / "shards" / f"{number:06d}.json"


def shard_path(store: Path, number: int, suffix: str) -> Path:
    """Where a shard's rows are."""
    return store / "shards" / f"{number:06d}{suffix}"
