"""Rows of stores as a job's inputs: what converting, merging and choosing from stores have in common.

An item's uri is the store's path and its offset the row's number; a negative offset is an input that failed, for the
reason in ``error``: it fails again, so that it stays on the books.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from features.errors import HeedError
from pipeline.fields import FeatureDtype, Fields, Row, check_row, read_row, stored_features, with_feature_dtype
from pipeline.inputs import key_of, list_path, read_list
from pipeline.places import size_of
from pipeline.sources import Item
from pipeline.store import Store

TRAIL = ("converted_from", "merged_from", "subset_of", "before")
"""What an extractor's description says of the stores that its rows have gone through."""


@dataclass(frozen=True)
class StoredRows:
    """Which stores, and what is said of their rows in the new one."""

    paths: Sequence[str]
    """The first one's fields, number type aside, are those of all."""
    extractor: dict[str, Any]
    dtype: FeatureDtype | Literal[""] = ""
    """Number type of features in the new store; "" is the first store's."""

    def open(self) -> StoredRowsReader:
        """A reader of the stores' rows."""
        return StoredRowsReader(self)

    open_to_plan = open


class StoredRowsReader:
    """Stores as a `pipeline.worker.Reader`."""

    def __init__(self, spec: StoredRows) -> None:
        self.extractor = spec.extractor
        self.stores = {path: Store.open(path) for path in spec.paths}
        first = self.stores[spec.paths[0]].identity
        self.kind = first.kind
        self.fields = dict(first.fields)
        if spec.dtype:
            try:
                self.fields = with_feature_dtype(first.fields, spec.dtype)
            except HeedError as error:
                raise HeedError(f"{spec.paths[0]} cannot be stored as {spec.dtype}: {error}.") from None

    def describe(self) -> dict[str, Any]:
        """What made the rows, and the stores they have gone through."""
        return self.extractor

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each row, checked as when it was first stored, and each failed input with its reason."""
        for item in items:
            if item.offset < 0:
                yield item, HeedError(item.error)
                continue
            store = self.stores[item.uri]
            try:
                yield item, self._row(store.row(item.offset, raw=True), store.identity.fields)
            except HeedError as error:
                yield item, error

    def _row(self, raw: Row, fields: Fields) -> Row:
        row = read_row(raw, fields)
        check_row(self.kind, row)
        if "features" not in self.fields or fields["features"] == self.fields["features"]:
            return raw
        return {**{name: row[name] for name in self.fields if name in row},
                **stored_features(row["features"], self.fields)}


def stored_items(path: str, store: Store) -> Iterator[Item]:
    """Every input of a store, stored or failed, in the order of its plan.

    Where the lists of inputs are not there, each shard's rows come before its failed inputs.
    """
    planned = _planned(store)
    first = 0
    for position, record in enumerate(store.records):
        rows = {key: Item(key, path, offset=first + at) for at, key in enumerate(store.shard(position).keys())}
        failed = {failure["key"]: Item(failure["key"], path, offset=-1, error=failure["reason"])
                  for failure in record.failed}
        here = {**failed, **rows}
        order = planned.get(record.shard, [])
        yield from (here[key] for key in (order if here.keys() == set(order) else [*rows, *failed]))
        first += record.rows


def _planned(store: Store) -> dict[int, list[str]]:
    """The keys planned for each shard, as far as there are lists."""
    identity = store.identity
    keys: list[str] = []
    for part in range(len(identity.parts)):
        if size_of(list_path(store.path, part)) is None:
            return {}
        try:
            keys += map(key_of, read_list(store.path, identity, part))
        except HeedError as error:
            raise HeedError(f"{error}. heed store repair {store.path} writes it again from the source.") from None
    return {number: [keys[i] for i in identity.shard_inputs(number)] for number in range(identity.shards)}


def traced(extractor: dict[str, Any], **step: Any) -> dict[str, Any]:
    """An extractor's description with one step more; earlier ones are kept under ``before``."""
    before = {name: extractor[name] for name in TRAIL if name in extractor}
    return {**untraced(extractor), **step, **({"before": before} if before else {})}


def untraced(extractor: dict[str, Any]) -> dict[str, Any]:
    """An extractor's description without the stores that its rows have gone through."""
    return {name: value for name, value in extractor.items() if name not in TRAIL}
