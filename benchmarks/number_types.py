"""What float32, float16 and int8 with a scale for each box cost: bytes, reading speed, error.

    python -m benchmarks.number_types [ROWS]        default 4,000; writes results/number_types.json

Stores of 36 x 2048 made-up features (exponentially distributed, as outputs of a rectifier are), page cache warm, one
process, batches of 64 in random order. The types take turns, as the machine's speed drifts; the median round is the
figure. int8 is read as float32, so its batches are as large as float32's; "raw" reads its numbers as they are.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clips import Clips
from pipeline.convert import open_convert
from pipeline.fields import FeatureDtype, Row, clip_fields, row_from_clips
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import Store

RESULT = Path(__file__).parent / "results" / "number_types.json"
REGIONS, DIM, BATCH, ROUNDS, SHARD_ROWS = 36, 2048, 64, 5, 250
TYPES: tuple[FeatureDtype, ...] = ("float32", "float16", "int8")


@dataclass(frozen=True)
class MadeUp:
    """Features that follow from an input's number."""

    kind = "clips"
    fields = clip_fields(DIM, "float32")

    def open(self) -> MadeUp:
        """Itself: there is nothing to load."""
        return self

    open_to_plan = open

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "made up"}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row]]:
        """Each input's row."""
        for item in items:
            features = np.random.default_rng(int(item.key)).exponential(size=(REGIONS, DIM)).astype(np.float32)
            yield item, row_from_clips(item.key, Clips(features, np.zeros((REGIONS, 2), np.float32), 0.0), self.fields)


def read_all(store: Store, order: np.ndarray, raw: bool = False) -> float:
    """Images a second."""
    began = time.perf_counter()
    for first in range(0, len(order), BATCH):
        store.gather("features", order[first:first + BATCH], raw=raw)
    return len(order) / (time.perf_counter() - began)


def main(rows: int = 4000) -> None:
    """Make the stores, read them in turn, and write the result."""
    with tempfile.TemporaryDirectory() as folder:
        items = [Item(str(number), "made up", 1) for number in range(rows)]
        run_job(MadeUp(), Source("made up", items, 0), Path(folder, "float32"), shard_rows=SHARD_ROWS, inline=True)
        for dtype in TYPES[1:]:
            source, spec = open_convert(Path(folder, "float32"), dtype)
            run_job(spec, source, Path(folder, dtype), shard_rows=SHARD_ROWS, inline=True)
        stores = {dtype: Store.open(Path(folder, dtype)) for dtype in TYPES}
        rates: dict[str, list[float]] = {name: [] for name in (*TYPES, "int8 raw")}
        for round_ in range(ROUNDS + 1):
            order = np.random.default_rng(round_).permutation(rows)
            for name, rate in rates.items():
                found = read_all(stores[name.split()[0]], order, raw=name.endswith("raw"))
                if round_:  # the first round warms the page cache
                    rate.append(found)
        truth = stores["float32"]
        some = range(0, rows, max(1, rows // 50))
        errors = {dtype: [_error(truth.row(i)["features"], store.row(i)["features"]) for i in some]
                  for dtype, store in stores.items()}
        result = {
            "rows": rows, "rounds": ROUNDS,
            "bytes_an_image": {dtype: round(sum(record.bytes for record in store.records) / rows)
                               for dtype, store in stores.items()},
            "images_a_second": {name: round(statistics.median(found)) for name, found in rates.items()},
            "root_mean_square_error_share": {dtype: float(f"{np.mean(found):.3g}") for dtype, found in errors.items()},
        }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def _error(exact: np.ndarray, read: np.ndarray) -> float:
    """Root mean square of the error as a share of that of the values."""
    return float(np.sqrt(np.mean((read - exact) ** 2.0) / np.mean(exact ** 2.0)))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
