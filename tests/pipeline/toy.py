"""A reader that needs no detector: rows follow from an input's bytes, so that jobs can be tested in milliseconds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from pipeline.fields import Row, region_fields, row_from_regions
from pipeline.sources import Item, Source, read_bytes

DIM = 8


@dataclass(frozen=True)
class Toy:
    """Waits ``seconds`` an input; inputs whose bytes begin with "bad" fail; "die" ends the process."""

    seconds: float = 0.0
    version: int = 1

    def open(self) -> ToyReader:
        return ToyReader(self)

    open_to_plan = open


class ToyReader:
    kind = "regions"
    fields = region_fields(DIM, 2)

    def __init__(self, spec: Toy) -> None:
        self.spec = spec

    def describe(self) -> dict[str, Any]:
        return {"name": "toy", "version": self.spec.version}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        for item in items:
            time.sleep(self.spec.seconds)
            try:
                data = read_bytes(item)
            except HeedError as error:
                yield item, error
                continue
            if data.startswith(b"bad"):
                yield item, HeedError("is bad")
            else:
                yield item, row_from_regions(item.key, toy_regions(data), self.fields)


def toy_regions(data: bytes) -> Regions:
    """2 to 5 regions that follow from ``data``."""
    rng = np.random.default_rng(np.frombuffer(hashlib.sha256(data).digest(), np.uint32))
    n = int(rng.integers(2, 6))
    corner = rng.uniform(0, 50, (n, 2)).astype(np.float32)
    return Regions(
        boxes=np.concatenate([corner, corner + 10], 1), features=rng.normal(size=(n, DIM)).astype(np.float32),
        classes=rng.integers(0, 9, n).astype(np.int32), class_scores=rng.uniform(size=n).astype(np.float32),
        attributes=rng.integers(0, 4, (n, 2)).astype(np.int32),
        attribute_scores=rng.uniform(size=(n, 2)).astype(np.float32), width=64, height=64,
    )


def toy_source(folder: Path, count: int, bad: Sequence[int] = ()) -> Source:
    """``count`` files, those in ``bad`` unreadable to the toy reader."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number in range(count):
        path = folder / f"{number:04d}.bin"
        path.write_bytes(b"bad" if number in bad else f"input {number}".encode())
        items.append(Item(f"a.b/{number:04d}.bin", str(path), path.stat().st_size))
    return Source(str(folder), items, 0)


def shard_bytes(store: Path) -> dict[str, bytes]:
    """Every file under shards/, whole."""
    return {path.name: path.read_bytes() for path in sorted((store / "shards").iterdir())}
