"""A small form of the damage campaign in benchmarks/video.py, on videos made here."""

import json
import os
import shutil

import numpy as np
import pytest

from benchmarks.video import RESULT, SECONDS_A_CASE, agreement, campaign, family, peak
from tests.make_video import make_video


def test_damaged_videos_give_frames_or_a_reason_in_time(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    videos = [make_video(tmp_path / name, list(range(0, 1200, 100)), codec=codec, draw=lambda number: noise[number])
              for name, codec in (("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.avi", "mpeg4"), ("v.webm", "libvpx"))]
    result = campaign(tmp_path, videos, 40)
    assert result["crashes"] == [] and result["slowest_seconds"] < SECONDS_A_CASE
    assert sum(result["outcomes"].values()) == 40 and sum(result["reasons"].values()) >= 10
    assert {kind for kind in result["outcomes"] if kind.startswith("cut")} >= {"cut: failed by name"}
    assert not any("nothing" in kind for kind in result["outcomes"])


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not installed")
def test_the_benchmark_compares_with_ffprobe(tmp_path):
    path = make_video(tmp_path / "v.ts", [0, 70, 100, 500], options={"bf": "0"})
    assert agreement([path]) == {"v.ts": {"frames": 4, "equal": True}}


def test_the_memory_of_a_process_is_told():
    assert os.getpid() in family(os.getpid()) and peak(os.getpid()) > 10_000_000


@pytest.mark.skipif(not RESULT.is_file(), reason="the benchmark has not been run for this checkout")
def test_the_published_figures_keep_what_is_promised():
    result = json.loads(RESULT.read_text())
    assert all(video["equal"] for video in result.get("agreement", {}).values())
    assert result["damage"]["cases"] >= 100 and result["damage"]["crashes"] == []
    assert result["damage"]["slowest_seconds"] < 10
    assert all(result["film"][format]["peak_megabytes"] < 1000 for format in ("webdataset", "arrow"))
