"""heed's stores beside the field's, one run on one machine: 4,000 x 36 x 2048 float16, read in batches of 64.

    make bench-peers                        makes .venv-peers and runs this there; about half an hour, 10 GB of disk
    python -m benchmarks.peers [--rows 4000] [--rounds 5] [--seconds 1] [--only NAME …] [--no-cold] [--folder FOLDER]
    python -m benchmarks.peers --plot-only  draws docs/peers.png from results/peers.csv

mosaicml-streaming needs another transformers than heed, so the peers have an environment of their own:

    python -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/peers.txt -e .

What each contender is, and how it is set up, see `benchmarks.contenders`. All give the same rows as float16 batches of
(64, 36, 2048), each a fresh array; in the first round every row of every contender is compared with what was written,
by its CRC. A round measures each contender once, in an order that changes; figures are the medians over the rounds, and
ratios the medians of the rounds' ratios, so that the machine's moods strike all alike.

- order: in order, or shuffled; another seed each epoch. Local shuffles (webdataset's buffer, MDS's blocks) count.
- readers: 1 is the process that wants the batches. 2 are two processes that read half of the rows each, their rates
  added; for libraries that bring loader workers, two workers that hand batches to one process through shared memory.
- warm: everything is in the page cache, and one epoch has been read before. Time runs from the arrival of an epoch's
  first batch to that of its last, so that starting workers, which long epochs do not notice, costs nobody anything.
- cold: the files are pushed out of the page cache (fsync, posix_fadvise DONTNEED; what mincore still finds is told), a
  fresh process opens them and reads one epoch, timed from before it opens them. "files" reads heed's shards from end to
  end and does nothing with them: the disk's speed (a virtual one's may come from its host's memory).

memcpy copies the same rows from one array in memory to such batches, in the same order: the most that a reader can do
in one thread. heed copies a batch in several (`pipeline.side_by_side`), as it does for anybody who does not forbid it:
on two cores in one. results/peers_16_cores.csv is of a machine of 16 cores, of which this had 12:

    --rounds 3 --seconds 0.4 --no-cold --only memcpy "heed Arrow" "heed Arrow, one thread" "LMDB raw bytes"
    "LMDB msgpack" "LMDB pickle" "HDF5 direct chunks" --out benchmarks/results/peers_16_cores.csv
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import mmap
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import ALONE, BATCH, CONTENDERS, FILES, HEED, MEMCPY, ORDERS, ROW_BYTES, SHAPE
from benchmarks.peers_plot import draw
from benchmarks.peers_reader import len_of
from pipeline.progress import JobProgress

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).parent / "results" / "peers.csv"
RESULT = TABLE.with_suffix(".json")
PLOT = ROOT / "docs" / "peers.png"
COLD_ROUNDS = 3
SHARE_WANTED, TIMES_WANTED = 0.65, 1.5
"""Of memcpy's speed, and of each peer's."""
Rates = dict[tuple[str, str, int, str], list[float]]
"""(contender, order, readers, cache) -> images/s in each round."""


def usual(cores: int) -> list[str]:
    """Who is measured on a machine of so many cores: below four heed copies in one thread and is not named twice."""
    return [name for name in CONTENDERS if name != ALONE or cores >= 4]


def started(what: str, name: str, *words: object) -> subprocess.Popen:
    """A process that reads; what libraries complain of is not shown."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore",
                   "TOKENIZERS_PARALLELISM": "false", "DISABLE_TELEMETRY": "1"}
    environment.pop("OMP_NUM_THREADS", None)
    if threads := CONTENDERS[name].threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, "-m", "benchmarks.peers_reader", what, name, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)


def answer(process: subprocess.Popen, wanted: str) -> str:
    """The next line that begins with ``wanted``; libraries print as well."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(wanted):
            return line
    raise RuntimeError(f"{process.args} ended with status {process.wait()} before it said {wanted!r}; run it by hand "
                       "to see why")


def measure_warm(name: str, folder: Path, readers: int, seconds: float, check: bool) -> dict[str, float]:
    """Images/s by order."""
    if readers == 1 or CONTENDERS[name].load:
        processes = [started("warm", name, folder, "all", 0 if readers == 1 else readers, seconds, check)]
    else:
        processes = [started("warm", name, folder, half, 0, seconds, check) for half in range(readers)]
    rates = {}
    for order in ORDERS:
        for process in processes:
            answer(process, "ready")
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [json.loads(answer(process, "{")) for process in processes]
        if check:
            compare(name, order, readers, [row for each in told for row in each["seen"]], len_of(folder))
        rates[order] = sum(each["rate"] for each in told)
    for process in processes:
        process.communicate()
    return rates


def compare(name: str, order: str, readers: int, seen: Sequence[int], rows: int) -> None:
    """Raise where a contender did not give every row once, as it was written, and in order where it should."""
    if CONTENDERS[name].share > 1:
        right = len(set(seen)) == len(seen) > 0 and min(seen) >= 0
    else:
        right = sorted(seen) == list(range(rows))
    if not right or (order == "in order" and readers == 1 and list(seen) != sorted(seen)):
        raise AssertionError(f"{name}, {order}, {readers} readers: {len(seen)} rows, {sum(row < 0 for row in seen)} "
                             f"with other numbers than were written, {rows - len(set(seen))} never seen")


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def push_out(folder: Path) -> float:
    """Push a folder's files out of the page cache; the share of their pages that is still there."""
    pages = resident = 0
    library = ctypes.CDLL(None, use_errno=True)
    for path in files_of(folder):
        size = path.stat().st_size
        if not size:
            continue
        with path.open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with mmap.mmap(file.fileno(), size) as mapped:
                seen = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
                view = (ctypes.c_char * size).from_buffer(mapped)
                library.mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(size), seen)
                del view
                pages += len(seen)
                resident += sum(page & 1 for page in seen)
    return resident / max(pages, 1)


def measure_cold(name: str, folder: Path, order: str) -> tuple[float, float]:
    """Images/s, and the share of pages that had stayed in the page cache."""
    stayed = push_out(folder)
    if name == FILES:
        began, size = time.perf_counter(), 0
        for path in files_of(folder):
            with path.open("rb", buffering=0) as file:
                while data := file.read(1 << 20):
                    size += len(data)
        return size / ROW_BYTES / (time.perf_counter() - began), stayed
    process = started("cold", name, folder, order)
    rate = json.loads(answer(process, "{"))["rate"]
    process.communicate()
    return rate, stayed


def run(root: Path, rows: int, rounds: int, seconds: float, names: Sequence[str], cold: bool) -> dict[str, Any]:
    """Write, check and measure; everything that is told, as JSON."""
    block = np.empty((rows, *SHAPE), np.float16)
    for number in range(rows):
        block[number] = np.random.default_rng(number).random(SHAPE, np.float32)
    np.save(root / "rows.npy", block)
    del block
    folders = {name: root / f"{number:02d}" for number, name in enumerate(names)}
    rates: Rates = {}
    stayed: dict[str, float] = {}
    rng = random.Random(0)
    cold_rounds = min(COLD_ROUNDS, rounds) if cold else 0
    total = len(names) * (1 + 2 * rounds + 2 * cold_rounds)
    steps = count(1)
    with JobProgress("measuring", total, "steps") as progress:
        for name, folder in folders.items():
            folder.mkdir()
            written = started("write", name, folder)
            written.communicate()
            if written.returncode:
                raise RuntimeError(f"{name} could not be written")
            progress.update(next(steps), f"wrote {name}")
        sizes = {name: sum(path.stat().st_blocks * 512 for path in files_of(folder))
                 for name, folder in folders.items()}
        for number in range(rounds):
            for readers in (1, 2):
                for name in rng.sample(names, len(names)):
                    for order, rate in measure_warm(name, folders[name], readers, seconds, number == 0).items():
                        rates.setdefault((name, order, readers, "warm"), []).append(rate)
                    progress.update(next(steps), name)
        on_disk = [*(name for name in names if name != MEMCPY), *([FILES] if HEED in names else [])]
        for _ in range(cold_rounds):
            for order in ORDERS:
                for name in rng.sample(on_disk, len(on_disk)):
                    if name == FILES and order != ORDERS[0]:
                        continue
                    rate, share = measure_cold(name, folders[HEED if name == FILES else name], order)
                    rates.setdefault((name, order, 1, "cold"), []).append(rate)
                    stayed[name] = max(stayed.get(name, 0.0), share)
                    progress.update(next(steps), f"{name}, cold")
    table = sorted((line(key, rates, sizes) for key in rates), key=lambda row: (
        row["cache"] != "warm", row["order"] != "shuffled", row["readers"], -row["images_per_second"]))
    return {
        "unit": "images/s, 36 x 2048 float16, batches of 64", "rows": rows, "rounds": rounds, "table": table,
        "targets": targets(table), "machine": machine(root), "versions": versions(names),
        "compared": "every row of every contender, by its CRC; of BUTD TSV only those that are read",
        "cold": {"how": "fsync and posix_fadvise(DONTNEED) on every file, a fresh process, one epoch",
                 "rounds": cold_rounds, "largest_share_of_pages_that_stayed": stayed},
        "all": [{"contender": key[0], "order": key[1], "readers": key[2], "cache": key[3],
                 "images_per_second": [round(value) for value in values]} for key, values in rates.items()],
    }


def line(key: tuple[str, str, int, str], rates: Rates, sizes: dict[str, int]) -> dict[str, Any]:
    """A line of the table."""
    name, order, readers, cache = key
    values = rates[key]

    def ratio(other: str, inverse: bool) -> float | str:
        given = rates.get((other, order, readers, cache))
        if not given:
            return ""
        return round(statistics.median(b / a if inverse else a / b for a, b in zip(values, given, strict=True)), 3)

    return {"contender": name, "order": order, "readers": readers, "cache": cache,
            "images_per_second": round(statistics.median(values)), "lowest": round(min(values)),
            "highest": round(max(values)), "share_of_memcpy": ratio(MEMCPY, False),
            "heed_is_times_faster": ratio(HEED, True), "bytes_on_disk": sizes.get(name, "")}


def targets(table: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was hoped for, warm: heed near memcpy when shuffled, and ahead of the others."""
    warm = [row for row in table if row["cache"] == "warm"]
    peers = [row for row in warm if not row["contender"].startswith(("memcpy", "heed")) and row["heed_is_times_faster"]]
    return {
        "share_of_memcpy_shuffled": {f"{row['readers']} readers": row["share_of_memcpy"] for row in warm
                                     if row["contender"] == HEED and row["order"] == "shuffled"},
        "share_of_memcpy_wanted": SHARE_WANTED, "times_faster_wanted": TIMES_WANTED,
        "ahead_by_less": [f"{row['contender']}, {row['order']}, {row['readers']} readers: {row['heed_is_times_faster']}"
                          for row in peers if row["heed_is_times_faster"] < TIMES_WANTED],
        "measurements_against_peers": len(peers),
    }


def machine(folder: Path) -> dict[str, Any]:
    """Where this ran."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((text.partition(":")[2].strip() for text in info.splitlines() if text.startswith("model name")), "")
    disk = subprocess.run(["df", "--output=fstype,source", str(folder)], capture_output=True, text=True).stdout.split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": model, "cores": os.cpu_count(), "memory_bytes": memory, "system": platform.platform(),
            "python": platform.python_version(), "disk": disk[2:]}


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of everybody's packages."""
    found = {}
    for package in sorted({"heed", "numpy", "torch", "msgpack", *(CONTENDERS[name].package for name in names)} - {""}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def save(result: dict[str, Any], table: Path, picture: Path) -> None:
    """Write the CSV, the JSON beside it and the plot."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(result["table"][0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(result["table"])
    table.with_suffix(".json").write_text(json.dumps(
        {name: value for name, value in result.items() if name != "table"}, indent=1) + "\n")
    draw(table, picture)


def main() -> int:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time a measurement takes")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), metavar="NAME",
                        default=usual(len(os.sched_getaffinity(0))))
    parser.add_argument("--no-cold", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the files are written (default: that for temporary files)")
    parser.add_argument("--out", type=Path, default=TABLE, help="the CSV; the JSON goes beside it")
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--plot-only", action="store_true")
    options = parser.parse_args()
    if options.rows < 4 * BATCH:
        parser.error(f"--rows must be {4 * BATCH} or more: each of two readers times what follows its first batch")
    if options.plot_only:
        draw(options.out, options.plot)
    else:
        root = Path(tempfile.mkdtemp(prefix="peers", dir=options.folder))
        try:
            result = run(root, options.rows, options.rounds, options.seconds, options.only, not options.no_cold)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        save(result, options.out, options.plot)
        print(json.dumps({name: result[name] for name in ("targets", "machine", "versions", "cold")}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
