"""How fast training data is read: heed's Arrow stores against a plain memory copy and against WebDataset.

    python -m benchmarks.streaming            writes benchmarks/results/streaming.json

4,000 images of 36 x 2048 float16, page cache warm, one process, batches of 64. heed reads in random order into fresh
batches (`pipeline.store.Store.gather`); memcpy copies arrays of the same size in the same pattern; WebDataset reads the
same rows from heed's own tar shards, in order, which is the best case for it. Rounds are interleaved, as the machine's
speed drifts; the median round is the figure.
"""

from __future__ import annotations

import itertools
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from features.regions import Regions
from pipeline.fields import region_fields, row_from_regions
from pipeline.job import run_job
from pipeline.sampler import epoch_order
from pipeline.sources import Item, Source
from pipeline.store import Store

IMAGES, REGIONS, DIM, BATCH, ROUNDS = 4000, 36, 2048, 64, 5
RESULT = Path(__file__).parent / "results" / "streaming.json"


class Random:
    """A reader of random regions."""

    kind, fields = "regions", region_fields(DIM, 1)

    def open(self):
        return self

    open_to_plan = open

    def describe(self):
        return {"name": "random"}

    def read(self, items):
        for item in items:
            rng = np.random.default_rng(int(item.key))
            corner = rng.uniform(0, 300, (REGIONS, 2)).astype(np.float32)
            ids, scores = np.zeros((REGIONS, 1), np.int32), np.ones((REGIONS, 1), np.float32)
            boxes, features = np.concatenate([corner, corner + 50], 1), rng.random((REGIONS, DIM), np.float32)
            regions = Regions(boxes, features, ids[:, 0], scores[:, 0], ids, scores, 400, 400)
            yield item, row_from_regions(item.key, regions, self.fields)


def write(folder: Path, format: str) -> Path:
    source = Source("random", [Item(str(i), str(i), 1) for i in range(IMAGES)], 0)
    run_job(Random(), source, folder / format, format=format, shard_rows=1000, inline=True)
    return folder / format


def heed_random(store: Store, epoch: int) -> float:
    order = epoch_order(len(store), 0, epoch)
    began = time.perf_counter()
    for first in range(0, len(order), BATCH):
        values, _ = store.gather("features", order[first:first + BATCH])
        assert values.shape[1:] == (REGIONS, DIM)
    return len(order) / (time.perf_counter() - began)


def memcpy(block: np.ndarray, epoch: int) -> float:
    order = epoch_order(len(block), 0, epoch)
    began = time.perf_counter()
    for first in range(0, len(order), BATCH):
        chosen = order[first:first + BATCH]
        out = np.empty((len(chosen), REGIONS, DIM), np.float16)
        for slot, row in zip(out, chosen, strict=True):
            slot[:] = block[row]
    return len(order) / (time.perf_counter() - began)


def webdataset(tars: list[str]) -> float:
    import webdataset

    stream = iter(webdataset.WebDataset(tars, shardshuffle=False).decode().to_tuple("features.npy"))
    began = time.perf_counter()
    count = 0
    while batch := list(itertools.islice(stream, BATCH)):
        count += len(np.stack([sample[0] for sample in batch]))
    return count / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        arrow, tar = write(Path(folder), "arrow"), write(Path(folder), "webdataset")
        store = Store.open(arrow)
        tars = sorted(str(path) for path in (tar / "shards").glob("*.tar"))
        block = np.concatenate([store.shard(i).column("features").values for i in range(len(store.records))])
        block = block.reshape(IMAGES, REGIONS, DIM)
        rates: dict[str, list[float]] = {"memcpy": [], "heed": [], "webdataset": []}
        for epoch in range(ROUNDS + 1):
            round_ = {"memcpy": memcpy(block, epoch), "heed": heed_random(store, epoch), "webdataset": webdataset(tars)}
            for name, rate in round_.items():
                if epoch:  # the first round warms the page cache
                    rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    result = {
        "unit": "images/s, 36 x 2048 float16, batches of 64, warm", "images": IMAGES, "rounds": ROUNDS,
        "median": {name: round(value) for name, value in medians.items()},
        "all": {name: [round(v) for v in values] for name, values in rates.items()},
        "heed_share_of_memcpy": round(statistics.median(
            h / m for h, m in zip(rates["heed"], rates["memcpy"], strict=True)), 3),
        "heed_times_webdataset": round(statistics.median(
            h / w for h, w in zip(rates["heed"], rates["webdataset"], strict=True)), 1),
        "machine": platform.processor() or platform.machine(), "numpy": np.__version__,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
