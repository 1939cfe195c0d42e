"""A store's rows in another shard format, number type or shard size: a job whose source is a store.

The new store's extractor is the old one's, so that vocabularies and weights stay known; ``converted_from`` names the
old store by its fingerprint. Failed inputs stay on the books: they fail again, for their old reasons.
"""

from __future__ import annotations

from typing import Literal

from features.errors import HeedError
from pipeline.fields import FeatureDtype
from pipeline.places import Place, place
from pipeline.sources import Source
from pipeline.store import Store
from pipeline.stored_rows import StoredRows, stored_items, traced


def open_convert(path: str | Place, dtype: FeatureDtype | Literal[""] = "") -> tuple[Source, StoredRows]:
    """The rows and failed inputs of the store at ``path``, shard by shard, as a source; an item's offset is its row."""
    name = str(place(path))
    store = Store.open(path)
    items = list(stored_items(name, store))
    if not items:
        raise HeedError(f"{path} holds no rows to convert.")
    trail = traced(store.identity.extractor, converted_from=store.fingerprint())
    return Source(name, items, 0), StoredRows((name,), trail, dtype)
