"""What a store is: the content of store.json and of each shard's commit record.

The shard plan is part of it: input i of the source goes to shard i // shard_rows, so that a shard's content follows
from the identity and its number alone. Inputs that were appended later are a part of their own, cut into shards that
follow those of the earlier parts; which inputs a part has is in its list (`pipeline.inputs`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from features.errors import HeedError
from pipeline.fields import Field, Fields
from pipeline.places import Place, Remote, place, read_all
from pipeline.sealed import sealed, unsealed, write_sealed
from pipeline.typed_json import expect

SCHEMA_VERSION = 2
"""A store is written with the lowest version that can say what it is: 2 where it has several parts or scaled fields."""
IDENTITY_FILE = "store.json"
MEMBERS = {"heed_store", "kind", "format", "fields", "extractor", "source", "plan"}
MAX_SHARDS = 10_000_000
"""More are a damaged number: opening a store looks for each one's record."""
_PART = {"inputs": int, "digest": str}
_FORM = {"heed_store": int, "kind": str, "format": str, "fields": dict, "extractor": dict, "source": _PART,
         "plan": {"shard_rows": int}}
_RECORD = {"shard": int, "rows": int, "bytes": int, "sha256": str, "failed": [{"key": str, "reason": str}]}


@dataclass(frozen=True)
class Part:
    """Inputs that were planned together: those of the first run, or those that one run appended."""

    inputs: int
    digest: str
    """SHA-256 of the part's list of inputs."""
    versions: dict[str, Any] = field(default_factory=dict)
    """Versions of the libraries that made it, where they are not those of ``extractor.versions``; told only."""

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        told = {"versions": self.versions} if self.versions else {}
        return {"inputs": self.inputs, "digest": self.digest, **told}


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
    """inputs and digest (`pipeline.inputs` compares them); uri and command (what `pipeline.repair` runs) are told."""
    shard_rows: int
    """Inputs a shard; the last shard of each part may have fewer."""
    appended: tuple[Part, ...] = ()
    """All parts of the plan where inputs were appended to the first; empty where there is one part."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the plan, in order; at least one."""
        return self.appended or (Part(self.source["inputs"], self.source["digest"]),)

    @property
    def shards(self) -> int:
        """Number of shards in the plan."""
        return sum(-(-part.inputs // self.shard_rows) for part in self.parts)

    def shard_inputs(self, number: int) -> range:
        """The inputs of shard ``number``, by their place in the lists of all parts, one after the other."""
        first = 0
        for part in self.parts:
            shards = -(-part.inputs // self.shard_rows)
            if number < shards:
                start = first + number * self.shard_rows
                return range(start, min(start + self.shard_rows, first + part.inputs))
            number, first = number - shards, first + part.inputs
        return range(first, first)

    def part_shards(self, number: int) -> range:
        """The numbers of the shards of part ``number``."""
        counts = [-(-part.inputs // self.shard_rows) for part in self.parts]
        return range(sum(counts[:number]), sum(counts[:number + 1]))

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        plan: dict[str, Any] = {"shard_rows": self.shard_rows, "shards": self.shards}
        if self.appended:
            plan["parts"] = [part.to_json() for part in self.appended]
        return {
            "heed_store": SCHEMA_VERSION if self.appended or any(f.scale for f in self.fields.values()) else 1,
            "kind": self.kind, "format": self.format,
            "fields": {name: field.to_json() for name, field in self.fields.items()},
            "extractor": self.extractor, "source": self.source, "plan": plan,
        }

    def write(self, store: Place) -> None:
        """Write store.json."""
        write_sealed(store / IDENTITY_FILE, self.to_json())

    def create(self, store: Place) -> bool:
        """Write store.json unless there is one; whether it was written. A local store is locked by who calls this."""
        path = store / IDENTITY_FILE
        if isinstance(path, Remote):
            return path.create(sealed(self.to_json()))
        if path.exists():
            return False
        self.write(store)
        return True

    @staticmethod
    def read(store: str | Place) -> Identity:
        """Read store.json; `HeedError` where there is none or it is damaged or a newer heed's."""
        store = place(store)
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
            expect(value, _FORM)
            identity = Identity(
                kind=value["kind"], format=value["format"],
                fields={name: Field.from_json(spec) for name, spec in value["fields"].items()},
                extractor=value["extractor"], source=value["source"], shard_rows=value["plan"]["shard_rows"],
                appended=tuple(Part(**part) for part in value["plan"].get("parts", ())),
            )
            expect([part.to_json() for part in identity.appended], [_PART], "parts")
            if not identity.shard_rows or identity.shards > MAX_SHARDS:
                raise ValueError(f"{identity.shard_rows} inputs a shard are no plan for {value['source']['inputs']}")
            _flat(value)  # nested too deeply to be compared with another?
            return identity
        except FileNotFoundError:
            raise HeedError(f"{store} is not a store: it has no {IDENTITY_FILE}.{_near(store)}") from None
        except OSError as error:
            raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HeedError(f"{path} is damaged: {error!r}. Bring it back from a copy, or make the store again; "
                            "nothing else says what its shards hold.") from error

    def differences(self, other: Identity) -> list[str]:
        """In words, how ``other`` would give different rows for the same inputs; empty where it would not."""
        return [f"{name}: {mine} in the store, {theirs} now" for name, mine, theirs in self.unlike(other)]

    def unlike(self, other: Identity) -> list[tuple[str, Any, Any]]:
        """Each name below which the two differ, with both values ("nothing" where there is none); see `differences`."""
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        told = ("heed_store", "source.", "extractor.versions", "extractor.options.device", "plan.shards", "plan.parts")
        names = sorted(name for name in {*mine, *theirs} if not name.startswith(told))
        return [(name, mine.get(name, "nothing"), theirs.get(name, "nothing"))
                for name in names if mine.get(name) != theirs.get(name)]


def _near(store: Place) -> str:
    """A question after a local folder whose name is like that of ``store``, which is not there."""
    if isinstance(store, Remote) or store.exists() or not store.parent.is_dir():
        return ""
    near = [folder.name for folder in store.parent.iterdir() if folder.is_dir()]
    close = difflib.get_close_matches(store.name, near, 1)
    return f" Did you mean {store.parent / close[0]}?" if close else ""


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

    def write(self, store: Place, aside: Place) -> None:
        """Commit the shard."""
        value = {"shard": self.shard, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256,
                 "failed": list(self.failed)}
        write_sealed(record_path(store, self.shard), value, aside)

    @staticmethod
    def read(store: Place, number: int) -> ShardRecord | None:
        """The record of shard ``number``, None where it is not committed; `HeedError` where the record is damaged."""
        try:
            return _record(store, number, record_path(store, number).read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            path = record_path(store, number)
            raise HeedError(f"The commit record {path} cannot be read: {error.strerror or error}.") from error

    @staticmethod
    def read_all(store: Place, numbers: Sequence[int]) -> list[ShardRecord | None]:
        """The records of these shards, as `read` gives each; those at a URL many at once."""
        if not isinstance(store, Remote):
            return [ShardRecord.read(store, number) for number in numbers]
        found = read_all([record_path(store, number) for number in numbers])
        return [data if data is None else _record(store, number, data)
                for number, data in zip(numbers, found, strict=True)]


def _record(store: Place, number: int, data: bytes) -> ShardRecord:
    try:
        value = unsealed(data)
        expect({"failed": [], **value}, _RECORD)
        record = ShardRecord(**value)
        if record.shard != number:
            raise ValueError(f"it is the record of shard {record.shard:06d}")
        return record
    except (ValueError, TypeError, RecursionError) as error:
        raise HeedError(f"The commit record {record_path(store, number)} is damaged: {error}. "
                        f"heed store repair {store} makes that shard again.") from error


def record_path(store: Place, number: int) -> Place:
    """Where a shard's commit record is."""
    return store / "shards" / f"{number:06d}.json"


def shard_path(store: Place, number: int, suffix: str) -> Place:
    """Where a shard's rows are."""
    return store / "shards" / f"{number:06d}{suffix}"
