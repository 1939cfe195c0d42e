"""A store's rows in another shard format, number type or shard size: a job whose source is a store.

The new store's extractor is the old one's, so that vocabularies and weights stay known; ``converted_from`` names the
old store by its fingerprint. Failed inputs stay on the books: they fail again, for their old reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from features.errors import HeedError
from pipeline.fields import Row, stored_features
from pipeline.sources import Item, Source
from pipeline.store import Store


@dataclass(frozen=True)
class Convert:
    """Which store, and the number type of its features in the new one ("": as they are)."""

    path: Path
    dtype: Literal["", "float16", "float32"] = ""

    def open(self) -> ConvertReader:
        """A reader of the store's rows."""
        return ConvertReader(self)

    open_to_plan = open


class ConvertReader:
    """A store as a `pipeline.worker.Reader`."""

    def __init__(self, spec: Convert) -> None:
        self.store = Store.open(spec.path)
        self.kind = self.store.identity.kind
        self.fields = dict(self.store.identity.fields)
        if spec.dtype:
            if "features" not in self.fields:
                raise HeedError(f"{spec.path} has no features whose number type could be changed.")
            self.fields["features"] = replace(self.fields["features"], dtype=spec.dtype)

    def describe(self) -> dict[str, Any]:
        """The old store's extractor, and that store's fingerprint."""
        return {**self.store.identity.extractor, "converted_from": self.store.fingerprint()}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each row, and each failed input with its reason."""
        reasons = {failure["key"]: failure["reason"] for failure in self.store.failures()}
        for item in items:
            if item.offset < 0:
                yield item, HeedError(reasons[item.key])
                continue
            row = self.store.row(item.offset)
            try:
                if "features" in row:
                    row = {**row, "features": stored_features(row["features"], self.fields["features"])}
                yield item, row
            except HeedError as error:
                yield item, error


def open_convert(path: Path, dtype: Literal["", "float16", "float32"] = "") -> tuple[Source, Convert]:
    """The rows and failed inputs of the store at ``path``, shard by shard, as a source; an item's offset is its row."""
    store = Store.open(path)
    items: list[Item] = []
    row = 0
    for position, record in enumerate(store.records):
        keys = store.shard(position).keys()
        items += [Item(key, str(path), offset=row + place) for place, key in enumerate(keys)]
        row += len(keys)
        items += [Item(failure["key"], str(path), offset=-1) for failure in record.failed]
    if not items:
        raise HeedError(f"{path} holds no rows to convert.")
    return Source(str(path), items, 0), Convert(path, dtype)
