"""Damage a store in random places; `verify` must find it each time, and reading must never give a wrong number unsaid.

    python -m benchmarks.corruption [CASES]      default 1200 cases; writes results/corruption.json; under a minute

A small store of made-up regions, in both shard formats. A case damages one thing in a fresh copy: a bit of a file
flipped, a file cut short, removed, or exchanged with another of its kind (a shard, a record, or both). Then the whole
store is verified, and every key is looked up and its row read with `Store.open(…, check=True)`. What comes must be the
former row or a `HeedError`; anything else that is raised is a crash.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_up import MadeUp
from features.errors import HeedError
from pipeline.fields import Row
from pipeline.identity import IDENTITY_FILE
from pipeline.index import INDEX_FILE
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.verify import verify

RESULT = Path(__file__).parent / "results" / "corruption.json"
CASES = 1200
ROWS, SHARD_ROWS, DIM, BAD = 16, 4, 8, 5
FORMATS = ("arrow", "webdataset")
KINDS = ("flip", "flip", "flip", "cut", "remove", "swap shards", "swap records", "swap both")
"""Of each eight cases three flip a bit."""


def make_store(path: Path, format: str) -> Store:
    """A sound store of `ROWS` inputs."""
    items = [Item(f"folder/{number:04d}.jpg", "nowhere", number) for number in range(ROWS)]
    run_job(MadeUp(DIM, BAD), Source("made://up", items, 0), path, format=format, shard_rows=SHARD_ROWS, inline=True)
    return Store.open(path, check=True)


def damage(files: dict[Path, bytes], kind: str, rng: random.Random) -> tuple[dict[Path, bytes | None], str]:
    """The files that a case changes, with their new content (None: removed), and which file was hit."""
    if kind.startswith("swap"):
        names = sorted({path.stem for path in files if path.parent.name == "shards"})
        one, two = rng.sample(names, 2)
        wanted = {"swap shards": [False], "swap records": [True], "swap both": [False, True]}[kind]
        changed: dict[Path, bytes | None] = {}
        for path in files:
            if path.parent.name == "shards" and path.stem in (one, two) and (path.suffix == ".json") in wanted:
                changed[path] = files[path.with_stem(two if path.stem == one else one)]
        return changed, "shard" if kind == "swap shards" else "record"
    path = rng.choice(sorted(files))
    data = bytearray(files[path])
    if kind == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[rng.randrange(len(data)):]
    what = {IDENTITY_FILE: "store.json", INDEX_FILE: "index", "000000.jsonl": "inputs"}.get(path.name)
    return {path: None if kind == "remove" else bytes(data)}, what or ("record" if path.suffix == ".json" else "shard")


def found_by_verify(path: Path) -> bool:
    """Whether `verify` finds fault, or refuses the store altogether."""
    try:
        return any(problems for _, problems in verify(path))
    except HeedError:
        return True


def read_all(path: Path, truth: dict[str, Row]) -> str:
    """Read every key: "right" where all rows are the former ones, "refused" where some are refused, else "wrong"."""
    try:
        store = Store.open(path, check=True)
    except HeedError:
        return "refused"
    outcome = "right"
    for key, row in truth.items():
        try:
            place = store.find(key)
            if place is None or not _same(store.row(place), row):
                return "wrong"
        except HeedError:
            outcome = "refused"
    return outcome


def _same(one: Row, other: Row) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in other)


def campaign(folder: Path, cases: int, seed: int = 0) -> dict[str, Any]:
    """Carry out ``cases`` cases in ``folder``, in turn on each format; what was found, as JSON."""
    rng = random.Random(seed)
    stores = {name: make_store(folder / name, name) for name in FORMATS}
    truths = {name: {key: store.row(row) for row, key in enumerate(store.keys())} for name, store in stores.items()}
    truths = {name: {key: {field: np.copy(value) for field, value in row.items()} for key, row in truth.items()}
              for name, truth in truths.items()}
    whole = {name: {path: path.read_bytes() for path in sorted((folder / name).rglob("*"))
                    if path.is_file() and path.name != ".lock"} for name in FORMATS}
    tried: Counter[str] = Counter()
    reading: Counter[str] = Counter()
    missed, crashes = [], []
    for case in range(cases):
        name, kind = FORMATS[case % 2], KINDS[case // 2 % len(KINDS)]
        changed, hit = damage(whole[name], kind, rng)
        if all(data == whole[name][path] for path, data in changed.items()):
            continue  # exchanged files that are equal
        for path, data in changed.items():
            path.unlink()
            if data is not None:
                path.write_bytes(data)
        words = f"case {case}: {kind} of a {name} store's {hit} ({', '.join(path.name for path in changed)})"
        tried[f"{name}: {kind}, {hit}"] += 1
        try:
            if not found_by_verify(folder / name):
                missed.append(words)
            outcome = read_all(folder / name, truths[name])
            reading[outcome] += 1
            if outcome == "wrong":
                missed.append(f"{words}: read wrongly")
        except Exception as error:
            crashes.append(f"{words}: {error!r}")
        for path in changed:
            path.unlink(missing_ok=True)
            path.write_bytes(whole[name][path])
    sound = all(not found_by_verify(folder / name) for name in FORMATS)
    return {"cases": sum(tried.values()), "missed": missed, "crashes": crashes, "sound_afterwards": sound,
            "reading_with_check": dict(sorted(reading.items())), "tried": dict(sorted(tried.items()))}


def main(cases: int = CASES) -> int:
    """Run the campaign and write its result; 1 where anything was missed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(Path(folder), cases)
    result["seconds"] = round(time.monotonic() - began, 1)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return int(bool(result["missed"] or result["crashes"] or not result["sound_afterwards"]))


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:])))
