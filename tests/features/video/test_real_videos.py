"""Real files against an independent decode: `ffprobe.json` was written by Debian's ffprobe."""

import json
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from features.video import frame_times, frames_at, probe, sample_times
from tests.shared import SHARED, needs_shared

pytest.importorskip("av", reason="videos need PyAV")
VIDEOS = json.loads((Path(__file__).parent / "ffprobe.json").read_text())["videos"]
pytestmark = [needs_shared, pytest.mark.shared]


def expected_times(video):
    steps = [step for step, times in video["steps"] for _ in range(times)]
    return [float(pts * Fraction(video["time_base"])) for pts in accumulate(steps, initial=video["first"])]


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_and_their_times_are_those_of_ffprobe(name):
    path = SHARED / "data" / "videos" / name
    video, info = VIDEOS[name], probe(path)
    times = frame_times(path)
    assert len(times) == video["frames"] and times.tolist() == expected_times(video)
    assert (info.width, info.height) == (video["width"], video["height"])
    assert info.duration == pytest.approx(video["duration"], abs=1e-6) and info.start == 0


def test_every_file_of_the_folder_is_looked_at():
    assert {path.name for path in (SHARED / "data" / "videos").glob("*.mp4")} == set(VIDEOS)


def test_frames_chosen_of_a_real_video_are_the_last_by_then():
    name = "flower.mp4"  # 29.97 frames a second
    path = SHARED / "data" / "videos" / name
    every = np.array(expected_times(VIDEOS[name]))
    times = sample_times(probe(path), fps=3)
    assert len(times) == 16
    found = [frame.time for frame in frames_at(path, times, 32)]
    assert found == [every[every <= time + 1e-6].max() for time in times]
