"""The job that `benchmarks.faults` strikes: in a process of its own, watched from outside, its store looked at after.

    python -m benchmarks.struck_job STORE SECONDS ACTORS INLINE     extracts made-up regions, SECONDS an input
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.made_up import MadeUp
from features.errors import HeedError
from pipeline.identity import ShardRecord
from pipeline.job import LOCK, run_job
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.verify import verify
from pipeline.worker import ASIDE

ROOT = Path(__file__).parents[1]
INPUTS, SHARD_ROWS, DIM, BAD = 96, 4, 512, 41
PATIENCE = 240.0
"""Seconds after which a job hangs."""
SHARDS = -(-INPUTS // SHARD_ROWS)
REFUSED = 2
"""Exit status of a job that ends with a sentence."""
ENDED = 3
"""Exit status of a whole job: complete, and one input failed, as it must."""


def job(store: Path, seconds: float = 0.0, actors: int = 2, inline: bool = True) -> int:
    """The job that is struck; its exit status."""
    items = [Item(f"folder/{number:04d}.a.jpg", "nowhere", number) for number in range(INPUTS)]
    try:
        summary = run_job(MadeUp(DIM, BAD, seconds), Source("made://up", items, 0), store, shard_rows=SHARD_ROWS,
                          actors=actors, inline=inline)
    except HeedError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return summary.status


@dataclass
class Running:
    """A job in its own process."""

    process: subprocess.Popen
    log: Path
    deadline: float = field(default_factory=lambda: time.monotonic() + PATIENCE)

    def ended(self) -> bool:
        """Whether it is over; a job that hangs is ended, and told by `AssertionError`."""
        if self.process.poll() is None and time.monotonic() > self.deadline:
            kill([self.process.pid, *descendants(self.process.pid)])
            raise AssertionError(f"hung for {PATIENCE:.0f} s")
        return self.process.poll() is not None

    def wait(self) -> int:
        """Its exit status."""
        while not self.ended():
            time.sleep(0.02)
        return self.process.returncode

    def words(self) -> str:
        """What it said at the end."""
        return self.log.read_text(errors="replace")[-2000:]


def start(folder: Path, store: Path, seconds: float, actors: int, inline: bool, ray: str = "") -> Running:
    """Start `job` in a process of its own that has no right to write where permission bits forbid it."""
    command = [sys.executable, "-m", "benchmarks.struck_job", str(store), str(seconds), str(actors),
               str(int(inline))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": ray}
    log = folder / "job.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True,
                                   preexec_fn=partial(_bow, ctypes.CDLL(None).prctl))
    return Running(process, log)


def _bow(prctl: Callable[..., int]) -> None:
    """Give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, from the next exec on (PR_CAPBSET_DROP; fails for others)."""
    prctl(24, 1)
    prctl(24, 2)


def descendants(pid: int) -> dict[int, str]:
    """Processes that ``pid`` started, and those that they did, with their titles."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: dict[int, str] = {}
    below = [pid]
    while below:
        for child in parents.get(below.pop(), ()):
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            below.append(child)
    return found


def kill(pids: Sequence[int]) -> None:
    """SIGKILL to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - polled every millisecond
    except OSError:
        return set()


def moment(store: Path) -> str:
    """What a job is about, in words, by the files that there are."""
    shards = _names(store / "shards")
    records = {name for name in shards if name.endswith(".json")}
    if len(shards) > 2 * len(records):
        return "a shard in place and not committed"
    if len(records) == SHARDS:
        return "all shards committed"
    if _names(store / ASIDE):
        return "a file half written"
    return "some shards committed" if records else "no shard committed"


def await_moment(running: Running, store: Path, rng: random.Random) -> bool:
    """Wait for a random moment of a job; False where it ended first.

    A fifth come at any time from its start, which loading and Ray take most of; the others after a number of files
    have come and gone, some among the first, half of them at once, so as to strike in the middle of a commit.
    """
    if rng.random() < 0.2:
        until = time.monotonic() + rng.uniform(0, 5)
        while time.monotonic() < until and not running.ended():
            time.sleep(0.01)
        return not running.ended()
    left = 1 + rng.randrange(rng.choice([6, 30, 30, 90]))
    before: set[str] | None = None
    while not running.ended():
        now = _names(store) | _names(store / "inputs") | _names(store / "shards") | _names(store / ASIDE)
        left -= len(now ^ before) if before is not None else 0
        if left <= 0:
            time.sleep(rng.choice([0.0, rng.uniform(0, 0.2)]))
            return not running.ended()
        before = now
        time.sleep(0.0005)
    return False


def committed_wrongly(store: Path, expected: dict[str, bytes]) -> list[str]:
    """In words, each committed shard that is not what an uninterrupted run makes."""
    wrong = []
    for number in range(SHARDS):
        name = f"shards/{number:06d}.arrow"
        try:
            record = ShardRecord.read(store, number)
            if record and (store / name).read_bytes() != expected[name]:
                wrong.append(f"{name} is committed and is not what it should be")
        except (HeedError, OSError) as error:
            wrong.append(f"{name}: {error}")
    return wrong


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store, by its path; not its lock, nor what an actor of a killed run may be writing aside."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(store.rglob("*"))
            if path.is_file() and path.name != LOCK and path.parent.name != ASIDE}


def differences(store: Path, expected: dict[str, bytes], keys: Sequence[str]) -> list[str]:
    """In words, how a completed store is not the one that an uninterrupted run makes; empty where it is."""
    found, wrong = contents(store), []
    wrong += [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is left over" for name in found if name not in expected]
    wrong += [f"{name} has other bytes" for name in found if name in expected and found[name] != expected[name]]
    try:
        listed = list(Store.open(store).keys())
        wrong += [f"{key} is lost" for key in keys if key not in listed]
        wrong += [f"{key} is there {count} times" for key, count in Counter(listed).items() if count > 1]
        wrong += [f"{part}: {problem}" for part, problems in verify(store) for problem in problems]
    except HeedError as error:
        wrong.append(str(error))
    return wrong


if __name__ == "__main__":
    sys.exit(job(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"))
