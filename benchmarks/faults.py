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
`struck_job.PATIENCE`. Ctrl-C ends a campaign with what it has. Of a part that is not run (``--inline-runs 0``) the last
result stays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.struck_job import (
    ENDED,
    INPUTS,
    REFUSED,
    SHARDS,
    Running,
    await_moment,
    committed_wrongly,
    contents,
    descendants,
    differences,
    job,
    kill,
    moment,
    start,
)
from pipeline.progress import JobProgress
from pipeline.store import Store
from pipeline.worker import ASIDE

RESULT = Path(__file__).parent / "results" / "faults.json"
SHARES = {"driver": 8, "machine": 3, "actor": 5, "disk": 2, "permission": 2}
"""How many of 20 faults are of each kind."""
CHAIN = {"driver": 8, "machine": 8, "actor": 2, "disk": 4, "permission": 4}
"""Strikes a store; a shard survives the death of two actors, so that two never cost it."""
SECONDS = 0.04
"""That a reader takes for an input, on average: a job is then at work for two or three seconds."""
MOST_PROBLEMS = 50
"""After so many a campaign is given up."""


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
    options = parser.parse_args()
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
