"""How fast scenes are rendered on one core: python -m benchmarks.scenes

Writes benchmarks/results/scenes.json: images a second of one core's time, with the disk's wait in for writing. Each
figure is the best of several rounds, as other work on the machine can only slow a round; the median is beside it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.scenes import render, scene, write_scenes

ROUNDS, IMAGES = 7, 200


def rate(work: Callable[[int], object], clock: Callable[[], float]) -> dict[str, float]:
    """Images/s by a clock of ``work(round)``, which does IMAGES images."""
    rates = []
    for number in range(ROUNDS):
        start = clock()
        work(number)
        rates.append(IMAGES / (clock() - start))
    return {"best": round(max(rates), 1), "median": round(statistics.median(rates), 1)}


def rendering(size: int) -> Callable[[int], object]:
    """Sampling a scene and rendering it to an array, other scenes every round."""
    return lambda number: [render(scene(0, number * IMAGES + i), size) for i in range(IMAGES)]


def writing(number: int) -> None:
    """The whole dataset: captions, relations, PNG files and annotations."""
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder) / "scenes", IMAGES, seed=number)


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, whatever threads there may be
    for index in range(100):  # fill the caches of noise
        render(scene(1, index), 160)
    figures = {
        "render 160 px": rate(rendering(160), time.process_time),
        "render 320 px": rate(rendering(320), time.process_time),
        "write 160 px": rate(writing, time.perf_counter),
    }
    result = {
        "unit": "images/s on one core", "rounds": ROUNDS, "images a round": IMAGES, "figures": figures,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs", "python": platform.python_version(),
        "numpy": np.__version__,
    }
    out = Path(__file__).parent / "results" / "scenes.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out.read_text(), end="")


if __name__ == "__main__":
    main()
