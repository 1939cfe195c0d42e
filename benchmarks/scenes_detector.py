"""How fast and how well the shipped detector sees scenes: python -m benchmarks.scenes_detector

Writes benchmarks/results/scenes_detector.json: images a second from decoded pixels to regions, as `heed extract` asks
for them (8 to 24 boxes), by one process of one thread against its own CPU time, and by two such processes against the
clock; and the figures of detection on scenes of a seed that no training saw. Speeds are the best of several rounds, as
other work on the machine can only slow a round; the median is beside it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

SEED, IMAGES, BATCH, ROUNDS, JUDGED = 777, 128, 16, 7, 400
_shared: dict = {}


def prepare(barrier: object) -> None:
    """Load the detector and render the images, in each process."""
    from features.detectors import DetectorOptions, load_detector
    from pipeline.scenes import render, scene

    _shared["barrier"] = barrier
    _shared["detector"] = load_detector("scenes", DetectorOptions(boxes=(8, 24), device="cpu"))
    _shared["images"] = [render(scene(SEED, index), 160) for index in range(IMAGES)]
    detect()


def detect() -> tuple[float, float]:
    """Seconds by the clock and by the CPU for all images."""
    images, detector = _shared["images"], _shared["detector"]
    clock, cpu = time.perf_counter(), time.process_time()
    for first in range(0, IMAGES, BATCH):
        detector.detect(images[first : first + BATCH])
    return time.perf_counter() - clock, time.process_time() - cpu


def together(_: int) -> float:
    """Seconds by the clock, started at once with the other process."""
    _shared["barrier"].wait()
    return detect()[0]


def judged() -> dict[str, float]:
    """Mean average precision over shapes, recall, and attributes right, on scenes never trained on."""
    from evaluation.metrics.detection import Boxes, coverage, mean_average_precision
    from features.detectors import DetectorOptions, load_detector
    from pipeline.scenes import render, scene

    detector = load_detector("scenes", DetectorOptions(boxes=(0, 100), score_threshold=0.05, nms=0.5, device="cpu"))
    names = detector.describe()
    truth, found = [], []
    for index in range(JUDGED):
        one = scene(SEED, index)
        kinds = [[names["attributes"][kind].index(item.attributes[kind]) for kind in names["attributes"]]
                 for item in one.objects]
        shapes = np.array([names["classes"].index(item.shape) for item in one.objects])
        truth.append(Boxes(one.boxes(160), shapes, attributes=np.array(kinds)))
        seen = detector.detect([render(one, 160)])[0]
        found.append(Boxes(seen.boxes, seen.classes, seen.class_scores, seen.attributes))
    recall, right = coverage(truth, found, len(names["attributes"]))
    figures = {**mean_average_precision(truth, found), "recall": recall,
               **dict(zip(names["attributes"], right, strict=True))}
    return {name: round(value, 4) for name, value in figures.items()}


def rates(seconds: list[float], images: int) -> dict[str, float]:
    """Images/s, best and median."""
    return {"best": round(images / min(seconds), 1), "median": round(images / statistics.median(seconds), 1)}


def main() -> None:
    prepare(None)
    alone = [detect()[1] for _ in range(ROUNDS)]
    context = get_context("spawn")
    with ProcessPoolExecutor(2, context, prepare, (context.Barrier(2),)) as pool:
        pairs = [max(pool.map(together, range(2))) for _ in range(ROUNDS)]
    result = {
        "unit": "images/s", "images a round": IMAGES, "rounds": ROUNDS, "batch": BATCH,
        "one process, of its CPU time": rates(alone, IMAGES),
        "two processes, by the clock": rates(pairs, 2 * IMAGES),
        f"detection on {JUDGED} scenes of seed {SEED}": judged(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    out = Path(__file__).parent / "results" / "scenes_detector.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out.read_text(), end="")


if __name__ == "__main__":
    main()
