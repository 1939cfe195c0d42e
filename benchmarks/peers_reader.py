"""A process that reads what `benchmarks.peers` measures; it is told what by its command line.

    python -m benchmarks.peers_reader write NAME FOLDER
    python -m benchmarks.peers_reader warm  NAME FOLDER HALF|all WORKERS SECONDS CHECK
    python -m benchmarks.peers_reader cold  NAME FOLDER ORDER

The rows are in rows.npy beside FOLDER.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np

from benchmarks.contenders import BATCH, CONTENDERS, ORDERS, SHAPE, Batches


def epochs(name: str, folder: Path, order: str, half: int | None, workers: int) -> Iterator[Batches]:
    """A contender's epochs, without end."""
    contender = CONTENDERS[name]
    if contender.read:
        for number in count():
            batches = contender.read(folder, None if order == "in order" else number, half)
            most = max(2, len_of(folder) // (BATCH * contender.share))
            yield islice(batches, most) if contender.share > 1 else batches
    assert contender.load
    loader = contender.load(folder, None if order == "in order" else 0, workers)
    while True:
        yield iter(loader)


def len_of(folder: Path) -> int:
    """Rows of the run."""
    return int(np.load(folder.parent / "rows.npy", mmap_mode="r").shape[0])


def read_warm(name: str, folder: Path, half: int | None, workers: int, seconds: float, check: bool) -> None:
    """Measure both orders, in step with another process where there is one; prints a line of JSON for each."""
    known = {zlib.crc32(row): number for number, row in enumerate(np.load(folder.parent / "rows.npy"))} if check else {}
    for order in ORDERS:
        each = epochs(name, folder, order, half, workers)
        seen = []
        for batch in next(each):
            array = np.asarray(batch)
            assert array.dtype == np.float16 and array.shape[1:] == SHAPE and array.flags.c_contiguous
            seen += [known.get(zlib.crc32(row), -1) for row in array] if check else []
        print("ready", flush=True)
        sys.stdin.readline()
        rows, took = 0, 0.0
        while took < seconds:
            began = now = 0.0
            for batch in next(each):
                now = time.perf_counter()
                rows += len(batch) if began else 0
                began = began or now
            took += now - began
        print(json.dumps({"order": order, "rate": rows / took, "seen": seen}), flush=True)
        each.close()


def read_cold(name: str, folder: Path, order: str) -> None:
    """Measure one epoch from before the data is opened; prints a line of JSON."""
    if CONTENDERS[name].package not in ("", "pyarrow"):  # importing is not what is measured
        __import__({"mosaicml-streaming": "streaming"}.get(CONTENDERS[name].package, CONTENDERS[name].package))
    from pipeline.store import Store  # noqa: F401

    began = time.perf_counter()
    rows = sum(len(batch) for batch in next(epochs(name, folder, order, None, 0)))
    print(json.dumps({"rate": rows / (time.perf_counter() - began)}), flush=True)


def main(what: str, name: str, folder: str, *more: str) -> None:
    """One of the three."""
    path = Path(folder)
    if what == "write":
        CONTENDERS[name].write(np.load(path.parent / "rows.npy", mmap_mode="r"), path)
    elif what == "cold":
        read_cold(name, path, *more)
    else:
        half, workers, seconds, check = more
        read_warm(name, path, None if half == "all" else int(half), int(workers), float(seconds), check == "True")


if __name__ == "__main__":
    main(*sys.argv[1:])
