"""A store of a million rows: how long it takes to open and to find a key, and how much memory that costs.

    python -m benchmarks.large_store [ROWS]      default 1,000,000; writes results/large_store.json

Rows are tiny (two regions of four numbers), as only their number matters. Two plans are measured: heed's own, of 512
rows a shard, and one of 50,000. Each is opened in a process of its own, which looks up 20,000 random keys, none of them
twice, and as many that are not there. Memory is what the kernel counts as the process's own (/proc/self/smaps_rollup):
pages it has written, and pages of mapped files that no other process has mapped, here nearly the whole of the tiny
store. Those lie in the page cache once for all processes, and the kernel may take them back at any time.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.fields import Field
from pipeline.identity import Identity, ShardRecord, shard_path
from pipeline.index import Index
from pipeline.job import MAX_SHARD_ROWS
from pipeline.shards.arrow import arrow_type
from pipeline.store import Store, file_digest

RESULT = Path(__file__).parent / "results" / "large_store.json"
FIELDS = {"key": Field("string"), "features": Field("float16", (None, 4)), "label": Field("int32")}
LOOKUPS = 20_000


def key(number: int) -> str:
    return f"images/{number % 997:03d}/{number:08d}.jpg"


def build(store: Path, rows: int, shard_rows: int) -> None:
    """Write a finished store as the job does, but by whole columns, as a million rows would take a minute."""
    identity = Identity("regions", "arrow", FIELDS, {"name": "tiny"}, {"inputs": rows, "digest": "none"}, shard_rows)
    (store / "shards").mkdir(parents=True)
    aside = store / "unfinished"
    aside.mkdir()
    identity.write(store)
    for number in range(identity.shards):
        inputs = identity.shard_inputs(number)
        path = shard_path(store, number, ".arrow")
        schema = pa.schema([pa.field(name, arrow_type(field), nullable=False) for name, field in FIELDS.items()])
        with pa.ipc.new_file(str(path), schema) as writer:
            writer.write_batch(pa.record_batch(columns(inputs), schema=schema))
        with path.open("rb") as file:
            os.fsync(file)  # or the kernel would count its pages as written by whoever maps them
        ShardRecord(number, len(inputs), path.stat().st_size, file_digest(path)).write(store, aside)
    aside.rmdir()
    Index.build(key(i) for i in range(rows)).write(store, Store.open(store).fingerprint())


def columns(inputs: range) -> list[pa.Array]:
    values = pa.array(np.resize(np.arange(8, dtype=np.float16), 8 * len(inputs)))
    features = pa.FixedSizeListArray.from_arrays(values, 4)
    offsets = pa.array(np.arange(0, 2 * len(inputs) + 1, 2, dtype=np.int32))
    labels = pa.array(np.arange(inputs.start, inputs.stop, dtype=np.int32))
    return [pa.array([key(i) for i in inputs]), pa.ListArray.from_arrays(offsets, features), labels]


def measure(path: Path) -> dict[str, float]:
    """Open ``path`` in this process and look keys up."""
    before = private_megabytes()
    began = time.perf_counter()
    store = Store.open(path)
    opened = time.perf_counter() - began
    began = time.perf_counter()
    assert store.find(key(len(store) - 1)) == len(store) - 1
    first = time.perf_counter() - began
    chosen = np.random.default_rng(0).choice(len(store), min(LOOKUPS, len(store)), replace=False).tolist()
    found, absent = times(store, chosen, True), times(store, chosen, False)
    after = private_megabytes()
    return {
        "rows": len(store), "shards": len(store.records), "open_s": round(opened, 3),
        "first_lookup_s": round(first, 3), "lookup_us_median": round(float(np.median(found)), 1),
        "lookup_us_mean": round(float(np.mean(found)), 1), "absent_us_median": round(float(np.median(absent)), 1),
        "written_MB": round(after["written"] - before["written"], 1), "written_with_python_MB": after["written"],
        "mapped_MB": after["mapped"], "pandas": "pandas" in sys.modules,
    }


def times(store: Store, rows: list[int], there: bool) -> np.ndarray:
    """Microseconds of each look-up."""
    taken = np.empty(len(rows))
    for i, row in enumerate(rows):
        name = key(row) if there else key(row) + "?"
        began = time.perf_counter()
        found = store.find(name)
        taken[i] = time.perf_counter() - began
        assert found == (row if there else None)
    return taken * 1e6


def private_megabytes() -> dict[str, float]:
    lines = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    kilobytes = {fields[0]: int(fields[1]) for fields in lines}
    clean, dirty = kilobytes["Private_Clean:"], kilobytes["Private_Dirty:"]
    return {"written": round(dirty / 1000, 1), "mapped": round(clean / 1000, 1)}


def main(rows: int) -> dict[str, dict[str, float]]:
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for shard_rows in (MAX_SHARD_ROWS, 50_000):
            store = Path(folder) / str(shard_rows)
            began = time.perf_counter()
            build(store, rows, shard_rows)
            built = time.perf_counter() - began
            command = [sys.executable, "-m", "benchmarks.large_store", "--measure", str(store)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            results[f"{shard_rows} rows a shard"] = {**found, "build_s": round(built, 1)}
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        result = {**main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000),
                  "machine": platform.processor() or platform.machine(), "python": platform.python_version()}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result, indent=1))
