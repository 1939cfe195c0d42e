"""Some of a store's rows as a store of their own, chosen by keys or by patterns of keys.

The rows keep the store's order. A key that was asked for and that the store has not is a failed input of the new one,
so that it is counted and told; one that failed in the old store fails again for its old reason. ``subset_of`` names
the old store by its fingerprint.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from pathlib import Path
from typing import Literal

from features.errors import HeedError
from pipeline.fields import FeatureDtype
from pipeline.places import Place, place
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.stored_rows import StoredRows, stored_items, traced

ABSENT = "is not in the store that it was to be taken from"


def open_subset(
    path: str | Place, keys: Iterable[str] | None = None, match: Sequence[str] = (),
    dtype: FeatureDtype | Literal[""] = "",
) -> tuple[Source, StoredRows]:
    """The chosen rows of the store at ``path`` as a source: those with one of ``keys`` that match a pattern.

    None for ``keys`` takes all, no ``match`` takes all; in a pattern * stands for any text, slashes too, ? for one
    character and [ab] for one of those. Raises `HeedError` where nothing is chosen or a pattern matches no key.
    """
    if keys is None and not match:
        raise HeedError("Say which rows: --keys with a list of keys, or --match with patterns.")
    name = str(place(path))
    store = Store.open(path)
    patterns = {pattern: re.compile(translate(pattern)) for pattern in match}
    wanted = None if keys is None else dict.fromkeys(keys)
    items, matched = [], set()
    for item in stored_items(name, store):
        if wanted is not None:
            if item.key not in wanted:
                continue
            wanted.pop(item.key)
        fitting = [pattern for pattern, compiled in patterns.items() if compiled.match(item.key)]
        matched.update(fitting)
        if fitting or not patterns:
            items.append(item)
    for pattern in match:
        if pattern not in matched:
            raise HeedError(f"No key matches {pattern!r}; the keys of {name} look like "
                            f"{next(iter(store.keys()), None)!r}.")
    if not items:
        raise HeedError(f"{name} has none of the keys that were asked for; its keys look like "
                        f"{next(iter(store.keys()), None)!r}.")
    items += [Item(key, name, offset=-1, error=ABSENT) for key in wanted or ()]
    trail = traced(store.identity.extractor, subset_of=store.fingerprint())
    return Source(name, items, 0), StoredRows((name,), trail, dtype)


def read_keys(path: Path) -> list[str]:
    """Keys out of a list: a .jsonl, .csv or .parquet file with a column ``key``, or text with one key a line."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return [str(key) for key in pyarrow.parquet.read_table(path, columns=["key"])["key"].to_pylist()]
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                return [row["key"].strip() for row in csv.DictReader(file)]
            lines = [line.rstrip("\r\n") for line in file if line.strip()]
        return [str(json.loads(line)["key"]) for line in lines] if path.suffix == ".jsonl" else lines
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        raise HeedError(f"The keys in {path} cannot be read ({what}); a list is text with a key a line, or a .jsonl, "
                        ".csv or .parquet file with a column key.") from error
