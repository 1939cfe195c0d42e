"""Regions that follow from an input's number: what `benchmarks.corruption` and `benchmarks.struck_job` store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from pipeline.fields import Fields, Row, region_fields, row_from_regions
from pipeline.sources import Item


@dataclass
class MadeUp:
    """One to four regions for each input, drawn from its size as the seed; one input fails, as some always do."""

    dim: int
    bad: int
    """The size of the input that fails."""
    seconds: float = 0.0
    """That an input takes, on average."""
    fields: Fields = field(init=False)
    kind = "regions"

    def __post_init__(self) -> None:
        self.fields = region_fields(self.dim, 1)

    def open(self) -> MadeUp:
        """Itself: there is nothing to load."""
        return self

    open_to_plan = open

    def describe(self) -> dict[str, Any]:
        """Its name: how long it takes makes no difference to what it gives."""
        return {"name": "made up"}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each input's row."""
        for item in items:
            rng = np.random.default_rng(item.size)
            time.sleep(rng.uniform(0, 2 * self.seconds))
            n = int(rng.integers(1, 5))
            corner = rng.uniform(0, 50, (n, 2)).astype(np.float32)
            regions = Regions(
                boxes=np.concatenate([corner, corner + 10], 1),
                features=rng.normal(size=(n, self.dim)).astype(np.float32),
                classes=rng.integers(0, 9, n).astype(np.int32), class_scores=rng.uniform(size=n).astype(np.float32),
                attributes=rng.integers(0, 4, (n, 1)).astype(np.int32),
                attribute_scores=rng.uniform(size=(n, 1)).astype(np.float32), width=64, height=64)
            bad = item.size == self.bad
            yield item, HeedError("was not made up") if bad else row_from_regions(item.key, regions, self.fields)
