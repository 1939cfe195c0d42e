"""Several stores into one: a job whose source is the rows of all of them.

They must be of one kind and made by one extractor, or a row's features and class ids would mean this in one row and
that in another. ``merged_from`` names each by its fingerprint, with the number of its rows that were taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from features.errors import HeedError
from pipeline.fields import FeatureDtype, with_feature_dtype
from pipeline.identity import Identity
from pipeline.places import Place, Remote, place
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.stored_rows import StoredRows, stored_items, traced, untraced

ALWAYS_ONE = ("fields", "extractor.classes", "extractor.attributes")
"""What must be the same in all stores even where other differences are allowed: without it rows cannot be read."""


def open_merge(
    paths: Sequence[str | Place],
    dtype: FeatureDtype | Literal[""] = "",
    duplicates: Literal["error", "first"] = "error",
    mixed: bool = False,
) -> tuple[Source, StoredRows]:
    """The rows and failed inputs of the stores, one store after the other, as a source.

    An input that failed in one store and is a row of another is that row; one that failed in several has the first's
    reason. Raises `HeedError` where two stores have a row with one key, unless ``duplicates`` is "first" and the first
    store's is taken; and where the stores differ in more than format and number type, unless ``mixed`` allows
    differences of the extractor's options, which are then told in ``merged_from``.
    """
    names = [_name(path) for path in paths]
    if len(set(names)) < max(2, len(names)):
        raise HeedError("Merging takes two stores or more, each once.")
    stores = {name: Store.open(name) for name in names}
    first = stores[names[0]]
    unlike = {name: _unlike(names[0], first.identity, name, store.identity, mixed) for name, store in stores.items()}
    items, twice = _inputs(stores)
    if twice and duplicates == "error":
        key, one, other = twice[0]
        more = f", and so have {len(twice) - 1} other keys" if len(twice) > 1 else ""
        raise HeedError(f"The key {key!r} has a row in {one} and in {other}{more}. With --duplicates first the store "
                        "that is named first wins.")
    if not items:
        raise HeedError("The stores hold no rows to merge.")
    taken = Counter(item.uri for item in items if item.offset >= 0)
    merged: list[dict[str, Any]] = [
        {"fingerprint": store.fingerprint(), "rows": taken[name], **({"unlike": unlike[name]} if unlike[name] else {})}
        for name, store in stores.items()]
    trail = traced(first.identity.extractor, merged_from=merged)
    return Source("\n".join(names), items, 0), StoredRows(names, trail, dtype)


def _name(path: str | Place) -> str:
    where = place(path)
    return str(where if isinstance(where, Remote) else where.absolute())


def _inputs(stores: dict[str, Store]) -> tuple[list[Item], list[tuple[str, str, str]]]:
    """The first row of each key, or its first failure where it has no row; and each further row's key and stores."""
    rows: dict[str, Item] = {}
    failed: dict[str, Item] = {}
    twice: list[tuple[str, str, str]] = []
    everything = [item for name, store in stores.items() for item in stored_items(name, store)]
    for item in everything:
        held = (failed if item.offset < 0 else rows).setdefault(item.key, item)
        if held is not item and item.offset >= 0:
            twice.append((item.key, held.uri, item.uri))
    return [item for item in everything if rows.get(item.key, failed.get(item.key)) is item], twice


def _unlike(one: str, mine: Identity, other: str, theirs: Identity, mixed: bool) -> list[str]:
    """In words, how the store ``other`` differs from the first; `HeedError` where it must not."""
    found = [(name, a, b) for name, a, b in _comparable(mine).unlike(_comparable(theirs))]
    words = [f"{name}: {a!s:.200} and {b!s:.200}" for name, a, b in found]
    if mine.kind != theirs.kind:
        raise HeedError(f"{one} holds {mine.kind} and {other} {theirs.kind}; they cannot be one store.")
    never = [line for line in words if line.startswith(ALWAYS_ONE)]
    if never:
        raise HeedError(f"{one} and {other} cannot be one store ({'; '.join(never[:4])}).")
    if words and not mixed:
        raise HeedError(f"{one} and {other} were not made alike ({'; '.join(words[:4])}), so their features do not "
                        "compare. --allow-mixed merges them all the same and notes the difference.")
    return words


def _comparable(identity: Identity) -> Identity:
    """The identity in one format, number type and shard size, without the stores that its rows have gone through."""
    fields = identity.fields
    if "features" in fields and fields["features"].ragged and len(fields["features"].inner) == 1:
        fields = with_feature_dtype(fields, "float32")
    return replace(identity, format="", shard_rows=1, fields=fields, extractor=untraced(identity.extractor))
