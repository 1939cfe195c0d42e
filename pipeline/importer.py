"""Somebody else's feature file into rows, through a format of `pipeline.exchange`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import HeedError
from features.regions import Regions
from pipeline.clips import Clips, Tokens
from pipeline.exchange import exchange_format
from pipeline.fields import (
    FeatureDtype,
    Fields,
    Row,
    clip_fields,
    region_fields,
    row_from_clips,
    row_from_regions,
    row_from_tokens,
    token_fields,
)
from pipeline.places import local
from pipeline.sources import Item, Source, check_keys

Entry = Regions | Clips | Tokens


@dataclass(frozen=True)
class ImportFile:
    """Which format, and what its entries hold."""

    format: str
    kind: str
    """regions, clips or tokens."""
    fields: Fields

    @property
    def dim(self) -> int:
        """Length of a feature."""
        return self.fields["features"].inner[0]

    def open(self) -> ImportReader:
        """A reader of the format."""
        return ImportReader(self)

    open_to_plan = open


class ImportReader:
    """A feature file as a `pipeline.worker.Reader`."""

    def __init__(self, spec: ImportFile) -> None:
        self.spec, self.kind, self.fields = spec, spec.kind, spec.fields
        self.format = exchange_format(spec.format)

    def describe(self) -> dict[str, Any]:
        """The format and what is to be known of it; what extractor made the file is not in it."""
        note = getattr(self.format, "NOTE", None)
        return {"name": f"import {self.spec.format}", **({"note": note} if note else {})}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each entry of the file as a row, read one at a time."""
        for item in items:
            try:
                yield item, self._row(item)
            except HeedError as error:
                yield item, error
            except OSError as error:
                yield item, HeedError(f"cannot be read: {error.strerror or error}")

    def _row(self, item: Item) -> Row:
        kind, _, row = _layout(entry := self.format.read(item).checked())
        if kind != self.kind:
            raise HeedError(f"is of kind {kind} where the store holds {self.kind}")
        return row(item.key, entry, self.fields)


def _layout(entry: Entry, dtype: FeatureDtype = "float16") -> tuple[str, Fields, Any]:
    """The kind of store an entry is for, its fields, and the function that makes its row."""
    dim = entry.features.shape[1]
    if isinstance(entry, Regions):
        return "regions", region_fields(dim, entry.attributes.shape[1], dtype), row_from_regions
    if isinstance(entry, Clips):
        return "clips", clip_fields(dim, dtype), row_from_clips
    return "tokens", token_fields(dim, 0 if entry.pooled is None else len(entry.pooled), dtype), row_from_tokens


def open_import(format: str, path: Path, dtype: FeatureDtype) -> tuple[Source, ImportFile]:
    """List the entries of a feature file and learn what they hold from the first readable one."""
    module, path = exchange_format(format), local(path, "heed import")
    if not path.exists():
        raise HeedError(f"There is no {path}.")
    try:
        items = list(module.items(path))
    except OSError as error:
        raise HeedError(f"{path} cannot be read as {format}: {error.strerror or error}.") from error
    check_keys(items)
    problem: Exception | None = None
    for item in items:
        try:
            kind, fields, _ = _layout(module.read(item).checked(), dtype)
        except (HeedError, OSError) as error:
            problem = problem or error
            continue
        return Source(str(path), items, 0), ImportFile(format, kind, fields)
    raise HeedError(f"{path} holds nothing that can be read as {format}: {problem or 'it is empty'}.")
