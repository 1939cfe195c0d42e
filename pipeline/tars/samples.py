"""Samples of a tar: neighbouring members whose names agree up to the first dot, as WebDataset groups them.

``dir/0001.jpg`` and ``dir/0001.features.npy`` are the parts ``jpg`` and ``features.npy`` of the sample ``dir/0001``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from features.errors import HeedError
from features.restricted import read_npy
from pipeline.tars.members import Member, TarReader

V = TypeVar("V")

NAMED = 100
"""Refused members that are kept by name; the others are only counted."""


@dataclass(frozen=True)
class TarSample:
    """One sample."""

    key: str
    """Its members' name up to the first dot behind the last slash."""
    parts: Mapping[str, bytes]
    """What is behind that dot, in lower case -> content."""


@dataclass(frozen=True)
class Refused:
    """A member that was not read."""

    tar: str
    member: str
    reason: str


@dataclass
class Refusals:
    """What was not read, as far as reading has come."""

    count: int = 0
    first: list[Refused] = field(default_factory=list)
    """The first `NAMED` of them."""

    def add(self, tar: str, member: str, reason: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(Refused(tar, member, reason))

    def __str__(self) -> str:
        if not self.count:
            return "nothing was refused"
        one = self.first[0]
        return f"{self.count} members or tars were not read, for example {one.member!r} of {one.tar}: {one.reason}"


def groups(
    tar: TarReader, where: str, take: Callable[[Member], V], refused: Refusals
) -> Iterator[tuple[str, dict[str, V]]]:
    """Each sample's key and parts, ``take(member)`` of each, in the order of the tar.

    Members that must not be read, have no extension or come twice in a sample are noted in ``refused``. Where the tar
    is damaged `DamagedTar` is raised after the samples before; one that the damage may have cut is not given.
    """
    key, parts = "", dict[str, V]()
    while member := tar.next():
        own, part = split_name(member.name)
        if _is_meta(member.name):
            continue
        reason = member.refusal or ("" if part else "has no extension, which would say what part of a sample it is")
        if not reason and own == key and part in parts:
            reason = "is there twice in its sample"
        if reason:
            refused.add(where, member.name, reason)
            continue
        if own != key and parts:
            yield key, parts
            parts = {}
        key = own
        parts[part] = take(member)
    if parts:
        yield key, parts


def split_name(name: str) -> tuple[str, str]:
    """(key, part) of a member's name; the part is "" where the name has no dot, or its file's name begins with one."""
    folder, slash, file = name.rpartition("/")
    stem, _, part = file.partition(".")
    return (folder + slash + stem, part.lower()) if stem else (name, "")


def decoded(sample: TarSample) -> dict[str, Any]:
    """The parts of a sample by their last extension: json as objects, npy as arrays, txt as strings, cls as integers.

    Everything else stays bytes: what pixels become is the caller's choice. Raises `HeedError` naming the part where it
    is not what its name says.
    """
    return {name: _decoded(sample.key, name, data) for name, data in sample.parts.items()}


def _decoded(key: str, name: str, data: bytes) -> Any:
    try:
        kind = name.rpartition(".")[2]
        if kind == "json":
            return json.loads(data)
        if kind == "npy":
            return read_npy(data)
        if kind in ("txt", "text"):
            return data.decode()
        return int(data) if kind == "cls" else data
    except (HeedError, ValueError, RecursionError) as error:
        raise HeedError(f"Sample {key!r}: its part {name} cannot be read: {error}.") from error


def _is_meta(name: str) -> bool:
    """WebDataset passes over such members as well."""
    return "/" not in name and name.startswith("__") and name.endswith("__")
