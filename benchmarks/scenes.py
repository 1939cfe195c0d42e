"""How fast scenes are rendered on one core: python -m benchmarks.scenes

Writes benchmarks/results/scenes.json: images, and frames of videos, a second of one core's time, with the disk's wait
in for writing. Each figure is the best of several rounds, as other work on the machine can only slow a round; the
median is beside it.
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

from pipeline.scenes import FLAVOURS, render, scene, write_scenes
from pipeline.scenes.questions import questions
from pipeline.scenes.video import draw_frames, soundtrack, video, write_videos

ROUNDS, IMAGES = 7, 200
VIDEOS, SECONDS, FPS = 5, 24, 8
FRAMES = VIDEOS * SECONDS * FPS


def rate(work: Callable[[int], object], clock: Callable[[], float], units: int = IMAGES) -> dict[str, float]:
    """Units/s by a clock of ``work(round)``, which does so many of them."""
    rates = []
    for number in range(ROUNDS):
        start = clock()
        work(number)
        rates.append(units / (clock() - start))
    return {"best": round(max(rates), 1), "median": round(statistics.median(rates), 1)}


def rendering(size: int, flavour: str = "objects") -> Callable[[int], object]:
    """Sampling a scene and rendering it to an array, other scenes every round."""
    return lambda number: [render(FLAVOURS[flavour](0, number * IMAGES + i), size) for i in range(IMAGES)]


def asking(number: int) -> None:
    """Sampling a scene and asking its questions."""
    for i in range(IMAGES):
        questions(scene(0, number * IMAGES + i))


def drawing(number: int) -> None:
    """Sampling videos and drawing their frames, other videos every round."""
    for i in range(VIDEOS):
        for _ in draw_frames(video(0, number * VIDEOS + i, SECONDS), 112, FPS):
            pass


def sounding(number: int) -> None:
    """The sound of as many videos."""
    for i in range(VIDEOS):
        soundtrack(video(0, number * VIDEOS + i, SECONDS))


def filming(number: int) -> None:
    """The whole dataset of videos: frames, sound, mp4 files and annotations."""
    with tempfile.TemporaryDirectory() as folder:
        write_videos(Path(folder) / "scenes", VIDEOS, number, SECONDS, 112, FPS)


def writing(number: int) -> None:
    """The whole dataset of pictures: captions, relations, questions, PNG files and annotations."""
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
        "render signs, 160 px": rate(rendering(160, "signs"), time.process_time),
        "render few, 64 px": rate(rendering(64, "few"), time.process_time),
        "ask questions": rate(asking, time.process_time),
        "write 160 px": rate(writing, time.perf_counter),
    }
    frames = {
        "draw 112 px": rate(drawing, time.process_time, FRAMES),
        "sound": rate(sounding, time.process_time, FRAMES),
        "write 112 px": rate(filming, time.perf_counter, FRAMES),
    }
    result = {
        "unit": "images/s on one core", "rounds": ROUNDS, "images a round": IMAGES, "figures": figures,
        "videos": {"unit": "frames/s on one core", "frames a round": FRAMES, "seconds": SECONDS, "fps": FPS,
                   "figures": frames},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs", "python": platform.python_version(),
        "numpy": np.__version__,
    }
    out = Path(__file__).parent / "results" / "scenes.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out.read_text(), end="")


if __name__ == "__main__":
    main()
