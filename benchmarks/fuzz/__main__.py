"""Try every reader of heed's on damaged and made-up files: nothing but `HeedError` may leave it, and soon, and small.

    python -m benchmarks.fuzz [--targets NAME …] [--seconds 60] [--seed 0] [--plain]     writes results/fuzz.json

Each target (`benchmarks.fuzz.targets`) runs for ``--seconds`` in processes of its own, guided by atheris (libFuzzer)
from valid and made-up files, which sees the branches of heed and of Python's zipfile, tarfile and pickle. Without it,
with ``--plain``, and for files that C++ reads, where it would see nothing, files are made by `benchmarks.fuzz.inputs`
alone. A finding is any other exception; a process that dies; more than `SLOW` seconds or `MEMORY` for one small file.

    python -m benchmarks.fuzz --show FILE --targets NAME      reads one file that was found, with its traceback
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "fuzz.json"
SLOW = 5.0
"""Seconds; a busy machine is forgiven."""
LONGEST = 1 << 14
"""Bytes that atheris makes a file of at most."""
MEMORY = (16 << 20, 40_000)
"""Bytes that a file may take, and more for each of its own: deflate holds a thousand in one, and 40 come of each."""
VIRTUAL = 4 << 30
"""Address space of a process that reads."""
MOST_DEATHS = 10


class Watch:
    """Reads one file after the other with a target, and notes what should not have happened."""

    def __init__(self, name: str, notes: Path, exact: bool) -> None:
        import tracemalloc  # not above: it imports pickle, which atheris must see imported

        from benchmarks.fuzz.targets import TARGETS
        from features.errors import HeedError

        self.tracemalloc = tracemalloc
        self.target, self.notes, self.exact, self.allowed = TARGETS[name], notes, exact, HeedError
        self.known: set[str] = set()
        self.runs = 0

    def __call__(self, data: bytes) -> None:
        """Read ``data``."""
        self.runs += 1
        most = MEMORY[0] + MEMORY[1] * len(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if self.exact:
            self.tracemalloc.start()
        began = time.perf_counter()
        try:
            self.target.read(data)
        except self.allowed as error:
            if not str(error):
                self.note("an error without words", data)
        except Exception as error:
            ours = [frame for frame in traceback.extract_tb(error.__traceback__) if str(ROOT) in frame.filename]
            place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
            self.note(f"{type(error).__name__} at {place}: {error}"[:300], data)
        if time.perf_counter() - began > SLOW:
            self.note(f"took more than {SLOW:.0f} s", data)
        if self.exact:
            if self.tracemalloc.get_traced_memory()[1] > most:
                self.note(f"asked for more than {most >> 20} MiB", data)
            self.tracemalloc.stop()
        if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > most:
            self.note(f"used more than {most >> 20} MiB", data)

    def note(self, words: str, data: bytes) -> None:
        """Keep a finding, the first of its kind."""
        kind = re.sub(r"\d+ MiB", "", words.partition(": ")[0])
        if kind not in self.known:
            self.known.add(kind)
            with self.notes.open("a") as file:
                file.write(json.dumps({"words": words, "data": data.hex()}) + "\n")


def examples(name: str, seed: int) -> Callable[[], bytes]:
    """What gives one made-up file after the other."""
    from benchmarks.fuzz.targets import TARGETS

    rng = random.Random(f"{name} {seed}")
    return lambda: TARGETS[name].example(rng)


def _limited() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + VIRTUAL, used + VIRTUAL))


def run_plain(name: str, seconds: float, seed: int, folder: Path) -> None:
    """Try made-up files until the time is over."""
    watch = Watch(name, folder / "notes", exact=True)
    make, last = examples(name, seed), folder / "last"
    _limited()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = make()
        last.write_bytes(data)
        watch(data)
    print(f"Done {watch.runs} runs")


def run_guided(name: str, seconds: float, seed: int, folder: Path) -> None:
    """Let atheris try what leads to new branches."""
    import atheris

    with atheris.instrument_imports(include=["pipeline", "features", "zipfile", "tarfile", "pickle"]):
        import benchmarks.fuzz.targets
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    make = examples(name, seed)
    starts = [*benchmarks.fuzz.targets.TARGETS[name].seeds(), *(make() for _ in range(200))]
    for number, data in enumerate(data for data in starts if len(data) <= LONGEST):
        (corpus / f"{seed}-{number}").write_bytes(data)
    _limited()
    longest = max(LONGEST, *(len(data) for data in benchmarks.fuzz.targets.TARGETS[name].seeds()))
    atheris.Setup([
        sys.argv[0], f"-max_total_time={max(1, round(seconds))}", f"-seed={seed + 1}", f"-max_len={longest}",
        "-timeout=30", "-rss_limit_mb=0", f"-artifact_prefix={folder}/", "-print_final_stats=1", str(corpus)],
        Watch(name, folder / "notes", exact=False))
    atheris.Fuzz()


def campaign(name: str, seconds: float, seed: int, guided: bool) -> dict[str, Any]:
    """One target's run, begun again where a process dies; what it found, as JSON."""
    told: dict[str, Any] = {"guided_by_atheris": guided, "executions": 0}
    findings: list[dict[str, str]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz") as root:
        folder, deaths = Path(root), 0
        while (left := seconds - (time.monotonic() - began)) > 0 and deaths < MOST_DEATHS:
            command = [sys.executable, "-m", "benchmarks.fuzz", "--child", name, str(left), str(seed + deaths), root,
                       "guided" if guided else "plain"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
            try:
                ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace",
                                       timeout=seconds + 120, env=environment)
                words, status = ended.stdout + ended.stderr, ended.returncode
            except subprocess.TimeoutExpired:
                words, status = "hung", -1
            counts = [int(number) for number in re.findall(r"(?:Done |number_of_executed_units: )(\d+)", words)]
            told["executions"] += max(counts, default=max(map(int, re.findall(r"^#(\d+)", words, re.M)), default=0))
            for what, coverage in re.findall(r"\b(cov|ft): (\d+)", words):
                told[{"cov": "edges", "ft": "features"}[what]] = int(coverage)
            if status == 0:
                break
            deaths += 1
            # Where libFuzzer, and where `run_plain` leaves what it read last.
            kept = [path for name in ("crash-*", "timeout-*", "oom-*", "last") for path in folder.glob(name)]
            data = kept[0].read_bytes() if kept else b""
            findings.append({"words": f"died with status {status}: {words.strip()[-500:]}", "data": data.hex()})
            for path in kept:
                path.unlink()
        if (folder / "notes").exists():
            findings += [json.loads(line) for line in (folder / "notes").read_text().splitlines()]
        if (folder / "corpus").exists():
            told["corpus"] = len(list((folder / "corpus").iterdir()))
    return {**told, "seconds": round(time.monotonic() - began), "findings": findings}


def show(name: str, file: Path) -> int:
    """Read one file, with its traceback."""
    from benchmarks.fuzz.targets import TARGETS

    TARGETS[name].read(file.read_bytes())
    print("It was read.")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the campaign and write its result; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=[], help="default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    parser.add_argument("--show", type=Path, help="a file to read with the target")
    parser.add_argument("--found", type=Path, help="a folder for the files of findings")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.child:
        name, seconds, seed, folder, how = options.child
        (run_guided if how == "guided" else run_plain)(name, float(seconds), int(seed), Path(folder))
        return 0
    from benchmarks.fuzz.fixed import FIXED
    from benchmarks.fuzz.targets import NATIVE, TARGETS

    names = options.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if options.show:
        return show(names[0], options.show)
    atheris = find_spec("atheris") is not None and not options.plain
    results = {}
    for number, name in enumerate(names, 1):
        results[name] = told = campaign(name, options.seconds, options.seed, atheris and name not in NATIVE)
        print(f"{number}/{len(names)} {name}: {told['executions']} executions, {told.get('edges', 'no')} edges, "
              f"{len(told['findings'])} findings; about {(len(names) - number) * options.seconds:.0f} s left",
              flush=True)
        for place, finding in enumerate(told["findings"]):
            print(f"   {finding['words']}", flush=True)
            data = bytes.fromhex(finding.pop("data"))
            if options.found:
                options.found.mkdir(parents=True, exist_ok=True)
                (options.found / f"{name.replace(' ', '_')}-{place}").write_bytes(data)
    result = {
        "executions": sum(told["executions"] for told in results.values()),
        "findings": sum(len(told["findings"]) for told in results.values()),
        "limits": {"seconds": SLOW, "bytes": MEMORY[0], "bytes_a_byte": MEMORY[1], "address_space": VIRTUAL},
        "seed": options.seed, "targets": results, "found_and_mended": FIXED,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(result["findings"] > 0)


if __name__ == "__main__":
    sys.exit(main())
