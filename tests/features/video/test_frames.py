import bisect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from features.errors import HeedError
from features.video import frame_times, frames_at, keyframes, probe, sample_times
from features.video import frames as walking
from features.video.container import open_video
from tests.make_video import grey, make_video, number_of, promise

pytest.importorskip("av", reason="videos need PyAV")


def numbers_at(path, times, **options):
    return [number_of(frame.image) for frame in frames_at(path, times, **options)]


@given(gaps=st.lists(st.integers(1, 900), min_size=1, max_size=25), times=st.lists(st.floats(0, 30), max_size=8),
       codec=st.sampled_from(["libx264", "mpeg4"]))
@settings(max_examples=25, deadline=None)
def test_the_frame_shown_is_the_last_that_begins_by_then(gaps, times, codec, tmp_path_factory):
    shown = np.cumsum([0, *gaps]).tolist()
    path = make_video(tmp_path_factory.mktemp("v") / "v.mkv", shown, codec=codec, gop=5)
    assert frame_times(path) == pytest.approx([ms / 1000 for ms in shown])
    times = sorted(min(time, shown[-1] / 1000) for time in [*times, 0.0, shown[-1] / 1000])
    frames = list(frames_at(path, times))
    expected = [bisect.bisect_right(shown, time * 1000 + 1e-3) - 1 for time in times]
    assert [number_of(frame.image) for frame in frames] == expected
    assert [frame.time for frame in frames] == [shown[number] / 1000 for number in expected]


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_time_begins_with_the_first_frame_where_the_clock_begins_later(tmp_path, name):
    path = make_video(tmp_path / name, [5000, 5100, 5400, 5500])
    info = probe(path)
    assert info.start >= 5 and info.duration == pytest.approx(0.54, abs=0.07)
    assert frame_times(path) == pytest.approx([0, 0.1, 0.4, 0.5]) and numbers_at(path, [0, 0.39, 0.4]) == [0, 1, 2]


def test_pictures_that_begin_after_the_sound_keep_their_time(tmp_path):
    path = make_video(tmp_path / "v.mkv", [2000, 2100], sound=np.zeros(16000))
    assert probe(path).start == 0 and frame_times(path) == pytest.approx([2.0, 2.1])
    assert numbers_at(path, [0.0, 2.1]) == [0, 1]


def test_frames_that_an_edit_list_cuts_away_are_not_there(tmp_path):
    path = make_video(tmp_path / "v.mp4", [-300, -200, -100, 0, 100, 200])  # the writer makes it of these times
    assert probe(path).frames == 6 and probe(path).duration == pytest.approx(0.3, abs=0.07)
    assert frame_times(path) == pytest.approx([0, 0.1, 0.2]) and numbers_at(path, [0, 0.15]) == [3, 4]


def test_a_file_without_timestamps_counts_its_frames(tmp_path):
    path = make_video(tmp_path / "v.h264", [0, 40, 80, 120], format="h264")
    assert frame_times(path) == pytest.approx([0, 0.04, 0.08, 0.12]) and numbers_at(path, [0.05, 0.12]) == [1, 3]
    assert probe(path).duration == pytest.approx(0.16)


def test_an_avi_file_begins_at_zero_whatever_the_decoder_delays(tmp_path):
    path = make_video(tmp_path / "v.avi", list(range(0, 400, 40)), codec="mpeg4", options={"bf": "2"})
    assert frame_times(path)[0] == 0 and np.diff(frame_times(path)) == pytest.approx(0.04)


CORNERS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}


def corners(_):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32], image[24:, 32:] = CORNERS.values()
    return image


def letters(image):
    close = {tuple(int(part > 128) for part in colour): name for name, colour in CORNERS.items()}
    return "".join(close[tuple((image[y, x] > 128).astype(int))] for y in (4, -4) for x in (4, -4))


@pytest.mark.parametrize(("turned", "upright"), [  # as ffmpeg 5.1 shows the same files
    ((0, False, False), "RGBW"), ((90, False, False), "GWRB"), ((180, False, False), "WBGR"),
    ((270, False, False), "BRWG"), ((0, True, False), "GRWB"), ((0, False, True), "BWRG"), ((90, True, False), "WGBR"),
    ((90, False, True), "RBGW")])
def test_turned_and_mirrored_pictures_come_upright(tmp_path, turned, upright):
    path = make_video(tmp_path / "v.mp4", [0], draw=corners, turned=turned)
    image = next(frames_at(path, [0])).image
    assert letters(image) == upright
    info = probe(path)
    assert (info.height, info.width) == image.shape[:2] == ((64, 48) if turned[0] in (90, 270) else (48, 64))
    assert next(frames_at(path, [0], 24)).image.shape == ((32, 24, 3) if turned[0] in (90, 270) else (24, 32, 3))
    if not turned[1] and not turned[2]:
        assert info.rotation == (-turned[0]) % 360


def test_pictures_are_shrunk_without_aliasing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 1), np.uint8).repeat(3, 2)
    path = make_video(tmp_path / "v.mp4", [0], draw=lambda _: noise, options={"crf": "1"})
    small = next(frames_at(path, [0], 24)).image
    assert small.shape == (24, 32, 3)
    reference = np.asarray(Image.fromarray(noise).resize((32, 24), Image.Resampling.BICUBIC))
    picked = noise[5::10, 5::10]  # what sampling without a filter gives
    assert np.abs(small - reference.astype(int)).mean() < 4 < np.abs(small - picked.astype(int)).mean() / 4
    assert next(frames_at(path, [0], (50, 20))).image.shape == (20, 50, 3)


def test_a_jump_to_a_keyframe_gives_what_walking_there_gives(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", list(range(0, 30000, 100)), gop=20, draw=lambda i: grey(i % 30),
                      options={"bf": "2", "b-adapt": "0"})
    times = [0.0, 4.04, 11.9, 12.0, 25.95, 29.9]
    counted = []
    monkeypatch.setattr(walking, "alive", lambda: counted.append(1))
    jumped = list(frames_at(path, times, threads=1))
    packets = len(counted)
    monkeypatch.setattr(walking, "SKIP_SECONDS", math.inf)
    walked = list(frames_at(path, times, threads=1))
    assert [frame.time for frame in jumped] == [frame.time for frame in walked] == [0, 4, 11.9, 12, 25.9, 29.9]
    assert all((a.image == b.image).all() for a, b in zip(jumped, walked, strict=True))
    assert packets < 0.4 * (len(counted) - packets)


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", list(range(0, 20000, 100)), draw=lambda i: grey(i % 30))
    counted = []
    monkeypatch.setattr(walking, "alive", lambda: counted.append(1))
    frames = frames_at(path, [0.1, 1.0, 19.0], threads=1)
    assert not counted
    next(frames)
    assert len(counted) < 30


def test_several_threads_hold_frames_back_until_what_they_are_made_from_is_sound(tmp_path, monkeypatch):
    path = make_video(tmp_path / "v.mp4", list(range(0, 20000, 100)), draw=lambda i: grey(i % 30))
    counted = []
    monkeypatch.setattr(walking, "alive", lambda: counted.append(1))
    next(frames_at(path, [0.0], threads=2))
    assert len(counted) > 17


def test_keyframes_are_those_the_coder_made(tmp_path):
    path = make_video(tmp_path / "v.mp4", list(range(0, 2000, 100)), gop=7, options={"sc_threshold": "0"})
    assert [(frame.time, number_of(frame.image)) for frame in keyframes(path)] == [(0, 0), (0.7, 7), (1.4, 14)]


def test_a_frame_shown_at_several_times_comes_as_often_and_is_made_once(tmp_path):
    path = make_video(tmp_path / "v.mkv", [0, 2000])
    first, second, third = frames_at(path, [0.0, 0.5, 1.999])
    assert first is second and second is third and first.time == 0


def test_the_last_frame_stays_on_for_half_a_second_and_no_longer(tmp_path):
    path = make_video(tmp_path / "v.mkv", [0, 100])
    assert numbers_at(path, [0.6]) == [1]
    with pytest.raises(HeedError, match=r"end at 0\.10 s, where one at 0\.80 s was expected"):
        list(frames_at(path, [0.8]))


def test_a_header_that_promises_too_much_is_told(tmp_path):
    path = make_video(tmp_path / "v.mkv", list(range(0, 1000, 100)))
    promise(path, 60)
    assert probe(path).duration == 60
    times = sample_times(probe(path), fps=1)
    with pytest.raises(HeedError, match="promises more than there is"):
        list(frames_at(path, times))
    notes = []
    assert [number_of(frame.image) for frame in frames_at(path, times, notes=notes)] == [0, 9]
    assert "the pictures end at 0.90 s" in notes[0]


def test_a_file_cut_off_is_told_or_gives_what_it_has(tmp_path):
    options = {"movflags": "faststart"}
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    path = make_video(tmp_path / "v.mp4", list(range(0, 4000, 200)), draw=lambda i: noise[i], container_options=options)
    whole = list(frames_at(path, np.arange(4)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(HeedError, match="damaged"):
        list(frames_at(path, np.arange(4)))
    notes = []
    left = list(frames_at(path, np.arange(4), notes=notes))
    assert 1 <= len(left) < 4 and notes and (left[0].image == whole[0].image).all()


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.webm", "libvpx"), ("v.avi", "mpeg4")])
def test_damaged_data_gives_the_same_frames_or_error_with_any_number_of_threads(tmp_path, name, codec):
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (24, 144, 192, 3), np.uint8) // 4
    path = make_video(tmp_path / name, list(range(0, 2400, 100)), draw=lambda i: noise[i], codec=codec, gop=30)
    sound = path.read_bytes()
    for _ in range(4):
        data = bytearray(sound)
        for place in rng.integers(2000, len(data), 8):
            if codec == "libx264":
                data[place:place + 300] = bytes(300)  # of single wrong bits several threads may not tell
            else:
                data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        seen = set()
        for threads in (1, 4, 4):
            notes = []
            try:
                frames = list(frames_at(path, np.arange(0, 2.4, 0.1), threads=threads, notes=notes))
                seen.add((b"".join(frame.image.tobytes() for frame in frames), *notes))
            except HeedError as error:
                seen.add(str(error))
        assert len(seen) == 1


def test_what_several_threads_cannot_decode_whole_is_decoded_again_by_one(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    path = make_video(tmp_path / "v.mkv", list(range(0, 2000, 100)), draw=lambda i: noise[i])
    opened = []
    opening = walking.open_video
    monkeypatch.setattr(walking, "open_video", lambda path, threads=1, picky=False: (
        opened.append((threads, picky)), opening(path, threads, picky))[1])
    assert len(frame_times(path, threads=4)) == 20 and opened == [(4, True)]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    opened.clear()
    frames = list(frames_at(path, np.arange(0, 2, 0.1), threads=4, notes=[]))
    assert opened == [(4, True), (1, False)] and len({frame.time for frame in frames}) > 5
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)


def test_vp8_has_one_thread_as_it_finds_no_damage(tmp_path):
    path = make_video(tmp_path / "v.webm", [0, 100], codec="libvpx")
    with open_video(path, threads=4) as video:
        assert video.stream.codec_context.thread_count == 1


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_times_that_are_no_numbers_are_refused(tmp_path, time):
    with pytest.raises(HeedError, match="not a finite number"):
        frames_at(make_video(tmp_path / "v.mkv", [0]), [time])
