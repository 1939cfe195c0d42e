import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from features.video import VideoInfo, probe, sample_times
from features.video.container import open_video
from features.video.sampling import Sampling
from tests.make_video import make_video


def info(duration):
    return VideoInfo(duration, 25, 0, 64, 48, 0, False, 0, "h264")


@given(st.floats(0, 5000), st.floats(0.05, 60))
def test_times_at_a_rate_are_its_multiples_before_the_end(duration, fps):
    times = sample_times(info(duration), fps=fps)
    assert times[0] == 0 and np.allclose(np.diff(times), 1 / fps)
    assert len(times) == 1 or times[-1] < duration + 1e-5
    assert times[-1] + 1 / fps > duration - 1e-5


@given(st.floats(0.01, 5000), st.integers(1, 500))
def test_a_number_of_times_are_the_middles_of_equal_parts(duration, count):
    times = sample_times(info(duration), count=count)
    edges = np.linspace(0, duration, count + 1)
    assert np.allclose(times, (edges[1:] + edges[:-1]) / 2)


def test_ten_seconds_at_two_a_second_are_twenty_frames():
    assert sample_times(info(10.0), fps=2).tolist() == [number / 2 for number in range(20)]
    assert len(sample_times(info(10.01), fps=2)) == 21 and len(sample_times(info(3.0), fps=1 / 3)) == 1


@pytest.mark.parametrize("options", [{}, {"fps": 1, "count": 2}, {"fps": 0}, {"count": -1}, {"fps": 1e9}])
def test_wrong_choices_are_refused(options):
    with pytest.raises(HeedError):
        sample_times(info(100), **options)


@pytest.mark.parametrize("options", [{}, {"fps": 1, "keyframes": True}, {"count": 0}, {"fps": 1, "size": 0},
                                     {"times": (), "count": 3}])
def test_a_sampling_says_one_thing(options):
    with pytest.raises(HeedError):
        Sampling(**options)


def test_probe_tells_what_was_written(tmp_path):
    path = make_video(tmp_path / "v.mp4", list(range(0, 1000, 40)), sound=np.zeros(16000), sound_codec="aac")
    found = probe(path)
    assert (found.width, found.height, found.frames, found.codec) == (64, 48, 25, "h264")
    assert found.duration == pytest.approx(1.0, abs=0.01) and found.fps == pytest.approx(25, abs=0.3)
    assert found.has_audio and not probe(make_video(tmp_path / "w.mp4", [0])).has_audio


def test_a_file_that_promises_no_duration_is_measured(tmp_path):
    path = make_video(tmp_path / "v.mkv", list(range(0, 1000, 40)), container_options={"live": "1"})
    assert probe(path).duration == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("seconds", [1.5, 30.0])
def test_the_last_packets_tell_where_the_pictures_end_if_the_header_does_not(tmp_path, seconds):
    sound = np.zeros(round(seconds * 16000))
    path = make_video(tmp_path / "v.flv", list(range(0, 1000, 40)), codec="flv", sound=sound, sound_codec="aac")
    with open_video(path) as video:
        assert video.stream.duration is None
        assert video.container.duration == pytest.approx(seconds * 1e6, abs=2e5)
    assert probe(path).duration == pytest.approx(1.064, abs=0.001)  # this writer puts the sound first


def test_a_cut_off_file_keeps_its_promise(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    path = make_video(tmp_path / "v.flv", list(range(0, 4000, 200)), codec="flv", draw=lambda number: noise[number])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert probe(path).duration == pytest.approx(3.8, abs=0.3)


def test_the_duration_is_the_pictures_where_the_sound_is_longer(tmp_path):
    path = make_video(tmp_path / "v.mp4", list(range(0, 1000, 40)), sound=np.zeros(64000), sound_codec="aac")
    assert probe(path).duration == pytest.approx(1.0, abs=0.01)
    path = make_video(tmp_path / "v.mkv", list(range(0, 1000, 40)), sound=np.zeros(64000))
    assert probe(path).duration == pytest.approx(1.0, abs=0.01)
