import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from features.errors import HeedError
from features.images import decode_image
from features.video import VideoSource, frames_at, probe, read_audio
from features.video.guard import ROOT, Guard
from features.video.sampling import Sampling
from tests.make_video import grey, make_video

pytest.importorskip("av", reason="videos need PyAV")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("v") / "v.mkv"
    return make_video(path, list(range(0, 3000, 100)), sound=np.sin(np.arange(48000) / 9))


@pytest.fixture(scope="module")
def guard():
    with Guard() as one:
        yield one


def test_what_comes_through_is_what_decoding_here_gives(video, guard):
    looked = guard.look(video, Sampling(times=(0.0, 0.45, 0.46, 2.9), size=24))
    frames = list(looked.frames)
    expected = list(frames_at(video, [0.0, 0.45, 0.46, 2.9], 24))
    assert looked.info == guard.probe(video) == probe(video)
    assert [frame.time for frame in frames] == [0.0, 0.4, 0.4, 2.9] == [frame.time for frame in expected]
    assert all((a.image == b.image).all() for a, b in zip(frames, expected, strict=True))
    assert frames[1] is frames[2] and frames[0].image.flags.writeable
    assert np.array_equal(guard.read_audio(video, 8000), read_audio(video, 8000))


def test_failures_come_through_and_the_next_video_is_read(video, guard, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(HeedError, match=r"empty \(0 bytes\)"):
        guard.look(tmp_path / "empty.mp4", Sampling(fps=1))
    with pytest.raises(HeedError, match=r"where one at 9\.00 s was expected"):
        list(guard.look(video, Sampling(times=(0, 9))).frames)
    looked = guard.look(video, Sampling(times=(0, 9), partial=True))
    assert len(list(looked.frames)) == 1 and "end at 2.90 s" in looked.notes[0]


def test_a_video_that_is_given_up_leaves_no_frames_behind(video, guard):
    looked = guard.look(video, Sampling(fps=10))
    next(looked.frames)
    assert len(list(guard.look(video, Sampling(count=3)).frames)) == 3
    with pytest.raises(HeedError, match="given up for another video"):
        list(looked.frames)


def test_a_crash_of_the_decoder_is_a_reason_and_nothing_more(video):
    with Guard() as guard:
        looked = guard.look(video, Sampling(times=tuple(range(3)) * 2000, size=512))
        next(looked.frames)
        guard._process.send_signal(signal.SIGSEGV)
        with pytest.raises(HeedError, match=r"the decoder crashed \(SIGSEGV\)"):
            list(looked.frames)
        assert len(list(guard.look(video, Sampling(count=3)).frames)) == 3


def test_a_file_that_never_answers_is_given_up(tmp_path, video):
    os.mkfifo(tmp_path / "pipe.mp4")
    with Guard(stall=0.3) as guard:
        began = time.monotonic()
        with pytest.raises(HeedError, match=r"nothing could be read or decoded for 0\.3 s"):
            guard.probe(VideoSource(str(tmp_path / "pipe.mp4"), 0, 1000))
        assert time.monotonic() - began < 10
        assert guard.probe(video).width == 64


def test_a_loop_that_holds_pythons_lock_is_ended():
    code = "import re; from features.video.child import Clock; Clock(0.3, 9).wind(); re.match('(a+)+b', 'a' * 50)"
    process = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert process.returncode == -signal.SIGALRM


def test_decoding_that_takes_too_long_is_given_up(video):
    with Guard(deadline=0.0) as guard, pytest.raises(HeedError, match="took more than the 0 s"):
        guard.probe(video)


def test_waiting_for_a_slow_reader_is_no_stall(tmp_path):
    path = make_video(tmp_path / "v.mkv", list(range(0, 3000, 100)), draw=lambda i: grey(i, (640, 480)))
    with Guard(stall=0.5) as guard:
        looked = guard.look(path, Sampling(fps=10))
        next(looked.frames)
        time.sleep(1.0)  # the other frames do not fit into the pipe
        assert len(list(looked.frames)) == 29


def test_the_process_ends_with_the_one_that_asked(video):
    code = ("import os, sys; from features.video.guard import Guard; guard = Guard(); guard.probe(sys.argv[1]); "
            "print(guard._process.pid, flush=True); os._exit(0)")
    process = subprocess.run([sys.executable, "-c", code, str(video)], capture_output=True, timeout=60,
                             env={**os.environ, "PYTHONPATH": str(ROOT)})
    state = Path("/proc") / process.stdout.decode().strip() / "stat"
    ends = time.monotonic() + 10
    while state.exists() and not re.search(r"\) Z", state.read_text()) and time.monotonic() < ends:
        time.sleep(0.05)
    assert time.monotonic() < ends


def test_encoded_frames_are_image_files(tmp_path, guard):
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    path = make_video(tmp_path / "v.mkv", [0, 100], draw=lambda number: noise[number])
    as_png = list(guard.look(path, Sampling(times=(0, 0.1)), "png").frames)
    pixels = list(guard.look(path, Sampling(times=(0, 0.1))).frames)
    assert all((decode_image(a.data) == b.image).all() and (a.height, a.width) == b.image.shape[:2] == (48, 64)
               for a, b in zip(as_png, pixels, strict=True))
    errors = [np.abs(decode_image(next(guard.look(path, Sampling(times=(0,)), "jpg", quality).frames).data)
                     - pixels[0].image.astype(int)).mean() for quality in (20, 95)]
    assert errors[1] < 12 < errors[0]
