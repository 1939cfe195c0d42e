"""A run remembers what made its features: those of another extractor are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.identity import Identity
from pipeline.same_extractor import same_extractor
from pipeline.store import Store

EXTRACTORS_FOLDER = "extractors"
"""In a run's folder."""


def keep_extractors(folder: Path, stores: Mapping[str, Store]) -> None:
    """Keep what made each store, or raise `HeedError` where it is not what made the run's."""
    for name, store in stores.items():
        kept = folder / name.replace(" ", "-")
        if kept.exists():
            same_extractor(Identity.read(kept), store.identity, f"The features of {store.path}")
        else:
            kept.mkdir(parents=True)
            store.identity.write(kept)
