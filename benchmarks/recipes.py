"""What the benchmarks of recipes and sweeps share: heed's commands in one thread, core minutes, result files."""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SPENT = "core_seconds.json"
"""In a run's folder: seconds of processor time of all invocations that worked on it."""
MASKS = {**{name: ("--mask.mask", name) for name in ("none", "lam", "lam-multi", "control")},
         "sparse": ("--model.sparse-mask", "soft")}
"""A mask's name -> the options that train with it."""


def heed(*words: object) -> float:
    """Run a command of heed in one thread; the seconds of processor time that it took. Ends with it where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    status = subprocess.run([sys.executable, "-m", "heed", *map(str, words)], env=environment).returncode
    if status:
        sys.exit(status)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def train(task: str, run: Path, *words: object) -> None:
    """Train ``run``, or go on with it; nothing where it is evaluated already."""
    if (run / "evaluation" / "test.json").exists():
        return
    spent = json.loads((run / SPENT).read_text()) if (run / SPENT).exists() else 0.0
    spent += heed("train", task, "--out", run, *words)
    (run / SPENT).write_text(json.dumps(spent))


def filmed(folder: Path, videos: int, *words: object) -> tuple[Path, Path, Path]:
    """Scenes videos in ``folder``, and what is seen and heard in their clips: the paths of scenes and both stores."""
    scenes, objects, sound = (folder / name for name in ("scenes", "objects", "sound"))
    heed("scenes", scenes, "--images", 0, "--videos", videos, *words)
    heed("extract", "clips", scenes / "videos", objects, "--encoder", "scenes:objects", "--inline")
    heed("extract", "sound", scenes / "videos", sound, "--encoder", "logmel:64", "--inline")
    return scenes, objects, sound


def compared(task: str, folder: Path, masks: Sequence[str], recipe: str, data: Sequence[object], *names: str
             ) -> dict[str, Any]:
    """Train ``task`` on ``data`` with each of ``masks``, in FOLDER/MASK; the recipe, and of each run what `told` has.
    """
    for mask in masks:
        train(task, folder / mask, *data, *MASKS[mask], *shlex.split(recipe))
    return {"recipe": recipe, "runs": {mask: told(folder / mask, *names) for mask in masks}}


def told(run: Path, *names: str) -> dict[str, Any]:
    """What a finished run's folder tells: core minutes, and the evaluation of its test split.

    Of the evaluation the entries called ``names``, or everything.
    """
    found = json.loads((run / "evaluation" / "test.json").read_text())
    return {"core_minutes": round(json.loads((run / SPENT).read_text()) / 60, 1),
            **{name: found[name] for name in names or found}}


def write(name: str, result: dict[str, Any]) -> None:
    """Write results/NAME.json, with the machine, and print it."""
    said = json.dumps(result | {"machine": f"{platform.machine()}, {os.cpu_count()} CPUs"}, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(said, encoding="utf-8")
    print(said, end="")


def publish(sweep: Path, kept: str, document: Path, task: str) -> None:
    """Copy a sweep's tables to results/KEPT and its plot beside ``document``, and quote them there.

    A table goes between the marks <!-- TASK NAME --> and <!-- end of TASK NAME -->, NAME being table, agreement or
    relation; one without marks is not quoted.
    """
    (RESULTS / kept).mkdir(parents=True, exist_ok=True)
    for path in sweep.glob("*.csv"):
        shutil.copy(path, RESULTS / kept)
    for name in ("table.md", "table.tex"):
        shutil.copy(sweep / name, RESULTS / kept)
    text = document.read_text(encoding="utf-8")
    for name in ("table", "agreement", "relation"):
        begin, end = f"<!-- {task} {name} -->", f"<!-- end of {task} {name} -->"
        if begin not in text:
            continue
        inner = (sweep / f"{name}.md").read_text(encoding="utf-8").strip()
        if name == "relation":
            plot = document.with_name(f"{document.stem}-{task}.png")
            shutil.copy(sweep / "relation.png", plot)
            inner = f"![Accuracy against interpretability]({plot.name})\n\n{inner}"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{inner}\n{end}{rest.split(end)[1]}"
    document.write_text(text, encoding="utf-8")
