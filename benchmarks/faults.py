"""Strike extractions at random moments in every way a machine can, run them again, and compare their bytes.

    python -m benchmarks.faults [--runs 60] [--inline-runs 180] [--seed 0] [--kinds driver machine actor …]
                                           writes results/faults.json; about 20 minutes on two cores

A store is begun, struck, gone on with, struck again, … and completed; then every file of it is compared, byte for byte,
with that of an uninterrupted run, its keys are listed, and it is verified. After each strike too, whatever is committed
must already be right. The jobs are real ones with a reader of made-up regions that takes its time: first without Ray,
where the same commits are struck in a fraction of the time (and there are no actors), then on Ray.

- driver: SIGKILL of the driver; its workers live on for seconds, while the next run works on the same store.
- machine: SIGKILL of the driver and of all that it started, at once, as when the power fails.
- actor: SIGKILL of an actor; the job must notice and end well by itself. Two to a job.
- disk: the store lies on a tmpfs that is too small, and larger each time. Needs the right to mount; else passed over.
- permission: a folder of the store becomes read-only, or closed, in the middle; root's jobs give up the right to write
  anywhere first.

A job that cannot go on must end with a sentence and status 2, never a traceback, and none may take longer than
`PATIENCE`. Ctrl-C ends a campaign with what it has. Of a part that is not run (``--inline-runs 0``) the last result
stays.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from pipeline.fields import Row, region_fields, row_from_regions
from pipeline.identity import ShardRecord
from pipeline.job import LOCK, run_job
from pipeline.progress import JobProgress
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.verify import verify
from pipeline.worker import ASIDE

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "faults.json"
SHARES = {"driver": 8, "machine": 3, "actor": 5, "disk": 2, "permission": 2}
"""How many of 20 faults are of each kind."""
CHAIN = {"driver": 8, "machine": 8, "actor": 2, "disk": 4, "permission": 4}
"""Strikes a store; a shard survives the death of two actors, so that two never cost it."""
INPUTS, SHARD_ROWS, DIM, BAD = 96, 4, 512, 41
SECONDS = 0.04
"""That a reader takes for an input, on average: a job is then at work for two or three seconds."""
PATIENCE = 240.0
"""Seconds after which a job hangs."""
MOST_PROBLEMS = 50
"""After so many a campaign is given up."""
SHARDS = -(-INPUTS // SHARD_ROWS)
REFUSED = 2
"""Exit status of a job that ends with a sentence."""
ENDED = 3
"""Exit status of a whole job: complete, and one input failed, as it must."""


@dataclass(frozen=True)
class Slow:
    """Regions that follow from an input's number, ``seconds`` each on average; input `BAD` fails."""

    seconds: float = 0.0
    kind = "regions"
    fields = region_fields(DIM, 1)

    def open(self) -> Slow:
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
                boxes=np.concatenate([corner, corner + 10], 1), features=rng.normal(size=(n, DIM)).astype(np.float32),
                classes=rng.integers(0, 9, n).astype(np.int32), class_scores=rng.uniform(size=n).astype(np.float32),
                attributes=rng.integers(0, 4, (n, 1)).astype(np.int32),
                attribute_scores=rng.uniform(size=(n, 1)).astype(np.float32), width=64, height=64)
            bad = item.size == BAD
            yield item, HeedError("was not made up") if bad else row_from_regions(item.key, regions, self.fields)


def job(store: Path, seconds: float = 0.0, actors: int = 2, inline: bool = True) -> int:
    """The job that is struck; its exit status."""
    items = [Item(f"folder/{number:04d}.a.jpg", "nowhere", number) for number in range(INPUTS)]
    try:
        summary = run_job(Slow(seconds), Source("made://up", items, 0), store, shard_rows=SHARD_ROWS, actors=actors,
                          inline=inline)
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
    command = [sys.executable, "-m", "benchmarks.faults", "--job", str(store), str(seconds), str(actors),
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


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None] | None]:
    """Mount a tmpfs on ``folder`` and give what sets its size in bytes; None where mounting is not permitted."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(options, capture_output=True).returncode:
        yield None
        return

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass
class Campaign:
    """What is struck, and what came of it."""

    folder: Path
    rng: random.Random
    inline: bool
    expected: dict[str, bytes]
    keys: Sequence[str]
    faults: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    ray: str = ""
    """Ray's folder for temporary files."""
    stores: int = 0
    jobs: int = 0

    def start(self, store: Path, seconds: float = SECONDS) -> Running:
        """Start a job on ``store``, with any number of actors from 1 to 3."""
        self.jobs += 1
        return start(self.folder, store, seconds, self.rng.choice([1, 2, 2, 3]), self.inline, self.ray)

    def struck(self, kind: str, store: Path) -> None:
        """Count a fault of ``kind``, and look at what is committed."""
        self.faults[kind] += 1
        self.moments[moment(store)] += 1
        self.problems += [f"{kind} {self.faults[kind]}: {words}" for words in committed_wrongly(store, self.expected)]

    def refused(self, kind: str, running: Running, what: str) -> None:
        """Hold a job that could not go on to its sentence."""
        status, words = running.wait(), running.words().strip()
        told = words.splitlines()[-1] if words else ""
        if status != REFUSED or "Traceback" in words or what not in told:
            self.problems.append(f"{kind} {self.faults[kind]}: ended with status {status} and said: {words[-600:]}")
        self.sentences[_anonymous(told, self.folder)] += 1

    def complete(self, kind: str, store: Path, running: Running | None = None) -> None:
        """Run the job to its end, or await it, and compare what it made."""
        running = running or self.start(store, 0.0)
        status = running.wait()
        found = differences(store, self.expected, self.keys)
        if status != ENDED:
            found.append(f"ended with status {status} and said: {running.words()[-600:]}")
        self.problems += [f"{kind} {self.faults[kind]}, completed: {words}" for words in found]
        self.stores += 1


def _anonymous(words: str, folder: Path) -> str:
    return re.sub(r"\d+", "N", words.replace(str(folder), "…"))


def strike_processes(campaign: Campaign, kind: str, store: Path, most: int) -> None:
    """Kill the driver, alone or with all that it started, up to ``most`` times; each run goes on from the last."""
    for _ in range(most):
        running = campaign.start(store)
        if not await_moment(running, store, campaign.rng):
            campaign.complete(kind, store, running)  # it ended first
            return
        others = list(descendants(running.process.pid)) if kind == "machine" else []
        kill([running.process.pid, *others])
        running.process.wait()
        campaign.struck(kind, store)
    campaign.complete(kind, store)


def strike_actors(campaign: Campaign, kind: str, store: Path, most: int) -> None:
    """Kill up to ``most`` actors of one job, which must end by itself."""
    running = campaign.start(store)
    for _ in range(most):
        actors: list[int] = []
        if await_moment(running, store, campaign.rng):
            while not actors and not running.ended():
                actors = [pid for pid, title in descendants(running.process.pid).items() if title.startswith("ray::_A")]
                time.sleep(0.01)
        if not actors:
            break
        kill([campaign.rng.choice(actors)])
        campaign.struck(kind, store)
    campaign.complete(kind, store, running)


def strike_disk(campaign: Campaign, kind: str, store: Path, most: int) -> None:
    """Let the disk be full ``most`` times, each time a little later."""
    pages = sum(-(-len(data) // 4096) for data in campaign.expected.values())
    with small_disk(store) as resize:
        if resize is None:
            return
        size = 1
        for _ in range(most):
            size = campaign.rng.randint(size, pages - 2)
            resize(size * 4096)
            running = campaign.start(store / "store", 0.0)
            running.wait()
            campaign.struck(kind, store / "store")
            campaign.refused(kind, running, "No space left")
        resize(4 * pages * 4096)
        campaign.complete(kind, store / "store")


def strike_permission(campaign: Campaign, kind: str, store: Path, most: int) -> None:
    """Make a folder of the store read-only or closed up to ``most`` times, in the middle of a run or before it."""
    for _ in range(most):
        running = campaign.start(store) if not store.exists() or campaign.rng.random() < 0.8 else None
        if running and not await_moment(running, store, campaign.rng):
            campaign.complete(kind, store, running)
            return
        folder = campaign.rng.choice([store, store / "shards", store / ASIDE])
        closed = campaign.rng.choice([0o555, 0o555, 0])
        try:
            folder.chmod(closed)
        except FileNotFoundError:
            folder = next(parent for parent in folder.parents if parent.exists())
            folder.chmod(closed)
        try:
            running = running or campaign.start(store)
            status = running.wait()
        finally:
            with suppress(FileNotFoundError):  # an empty folder can still be removed
                folder.chmod(0o755)
        if status == ENDED:  # it needed the folder no more
            campaign.complete(kind, store, running)
            return
        campaign.struck(kind, store)
        campaign.refused(kind, running, "Permission denied")
    campaign.complete(kind, store)


STRIKES: dict[str, Callable[[Campaign, str, Path, int], None]] = {
    "driver": strike_processes, "machine": strike_processes, "actor": strike_actors, "disk": strike_disk,
    "permission": strike_permission,
}


def run(folder: Path, runs: int, seed: int, kinds: Sequence[str], inline: bool = False) -> dict[str, Any]:
    """Strike ``runs`` times in ``folder``; what came of it, as JSON."""
    assert job(folder / "whole") == ENDED
    campaign = Campaign(folder, random.Random(seed), inline, contents(folder / "whole"),
                        list(Store.open(folder / "whole").keys()))
    total = sum(SHARES[kind] for kind in kinds)
    wanted = {kind: max(1, runs * SHARES[kind] // total) for kind in kinds}
    wanted[kinds[0]] += runs - sum(wanted.values())
    passed_over: list[str] = []
    began = time.monotonic()
    # Ray's sockets lie in its folder, and their paths may have 107 bytes.
    with (tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as campaign.ray,
          JobProgress("striking", runs, "faults") as progress):
        while left := [kind for kind in kinds if campaign.faults[kind] < wanted[kind] and kind not in passed_over]:
            # The kind that is furthest behind, so that a campaign that is cut short has had some of each.
            kind = min(left, key=lambda kind: campaign.faults[kind] / wanted[kind])
            before, store = campaign.faults[kind], folder / f"{kind}{campaign.jobs}"
            try:
                STRIKES[kind](campaign, kind, store, min(CHAIN[kind], wanted[kind] - before))
            except AssertionError as error:
                campaign.problems.append(f"{kind} {campaign.faults[kind]}: {error}")
                break
            except KeyboardInterrupt:
                break
            if len(campaign.problems) > MOST_PROBLEMS:
                break
            if kind == "disk" and campaign.faults[kind] == before:
                passed_over.append(kind)
            shutil.rmtree(store, ignore_errors=True)
            progress.update(sum(campaign.faults.values()),
                            f"{len(campaign.problems)} problems" if campaign.problems else "")
    return {
        "faults": sum(campaign.faults.values()), "by_kind": dict(campaign.faults),
        "passed_over": dict.fromkeys(passed_over, "mounting is not permitted here"),
        "problems": campaign.problems, "seed": seed,
        "jobs": campaign.jobs, "stores_completed_and_compared": campaign.stores,
        "each_store": {"inputs": INPUTS, "shards": SHARDS, "files_compared": len(campaign.expected),
                       "bytes": sum(map(len, campaign.expected.values()))},
        "struck_at": dict(campaign.moments.most_common()),
        "sentences": dict(campaign.sentences.most_common()),
        "seconds": round(time.monotonic() - began), "cpus": os.cpu_count(), "system": platform.platform(),
        "ray": "" if inline else version("ray"),
    }


def main() -> int:
    """Run the campaign and write its result; 1 where anything was lost, doubled or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="how often to strike on Ray")
    parser.add_argument("--inline-runs", type=int, default=180, help="how often to strike without")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(SHARES), default=list(SHARES))
    parser.add_argument("--job", nargs=4, metavar=("STORE", "SECONDS", "ACTORS", "INLINE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        store, seconds, actors, inline = options.job
        return job(Path(store), float(seconds), int(actors), inline == "1")
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    parts = {name: before[name] for name in ("inline", "ray") if name in before}
    for name, runs, inline in (("inline", options.inline_runs, True), ("ray", options.runs, False)):
        kinds = [kind for kind in options.kinds if kind != "actor" or not inline]
        if runs and kinds:
            with tempfile.TemporaryDirectory(prefix="faults", ignore_cleanup_errors=True) as folder:
                parts[name] = run(Path(folder), runs, options.seed, kinds, inline)
    result = {"faults": sum(part["faults"] for part in parts.values()),
              "problems": [words for part in parts.values() for words in part["problems"]], **parts}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return int(bool(result["problems"]))


if __name__ == "__main__":
    sys.exit(main())
