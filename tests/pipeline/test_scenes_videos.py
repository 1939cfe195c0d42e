"""Scenes videos: what happens in them is what is seen, heard and said."""

import hashlib
import io
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.scenes import COLOURS
from pipeline.scenes.video import HEARD, KINDS, RATE, SEEN, boxes_at, draw_frames, soundtrack, video
from pipeline.scenes.video.encode import encode
from pipeline.scenes.video.motion import pose, wave
from pipeline.scenes.video.relevance import relevance
from pipeline.scenes.video.sound import SOUNDS
from pipeline.scenes.video.world import CLIP

VIDEOS = [video(4, index) for index in range(60)]
FPS = 8
LAG = 3
"""Frames between two that are compared: not a whole period of anything that moves."""


@pytest.fixture(scope="module")
def drawn():
    """Six videos with their frames, (frames, 64, 64, 3) int16."""
    return [(of, np.stack(list(draw_frames(of, 64, FPS))).astype(np.int16)) for of in VIDEOS[:6]]


def test_a_video_follows_from_seed_and_index():
    assert video(4, 5) == VIDEOS[5]
    assert len({video(seed, index) for seed in range(2) for index in range(10)}) == 20


def test_frames_and_samples_are_those_of_every_other_machine():
    of = video(0, 3, 10)
    pixels = hashlib.sha256(b"".join(frame.tobytes() for frame in draw_frames(of, 112, FPS))).hexdigest()
    # Change only together with pipeline.scenes.video.dataset.VERSION.
    assert pixels == "c5649e2e0b6bcea6f87aaa82c46f69b9da4cc13d3e2cd1c4eb58540f5aa4e1fa"
    samples = hashlib.sha256(soundtrack(of).tobytes()).hexdigest()
    assert samples == "205b6bbd3a9752bd5bc08d2e592ea5f49e0114dd552c9cf89d250afd9314ba90"


def test_events_lie_within_their_shot_and_no_actor_does_two_things_at_once():
    for of in [*VIDEOS, *(video(4, index, 60) for index in range(5))]:
        assert [e.id for e in of.events] == list(range(len(of.events)))
        assert all(a.start <= b.start for a, b in pairwise(of.events))
        for event in of.events:
            shot = of.shots[of.shot_at(event.start)]
            assert shot.start <= event.start and event.end <= shot.end
            assert event.end - event.start >= CLIP
        for actor in of.actors:
            own = [e for e in of.events if actor.id in (e.actor, e.other)]
            assert all(a.end <= b.start for a, b in pairwise(own))


def test_every_kind_of_event_is_about_as_frequent():
    counts = Counter(e.kind for index in range(200) for e in video(5, index).events)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) > 0.5 * counts.total() / len(KINDS)
    assert 5 < counts.total() / 200 < 7


def test_no_two_actors_ever_look_the_same():
    for of in [*VIDEOS, *(video(4, index, 60) for index in range(5))]:
        looks = {}
        for actor in of.actors:
            poses = [actor.first, *(p for e in of.events if e.actor == actor.id for p in (e.before, e.after))]
            for now in poses:
                assert looks.setdefault((actor.shape, now.colour, now.size, actor.texture), actor.id) == actor.id


def test_actors_are_where_their_events_say():
    for of in VIDEOS:
        for event in of.events:
            if event.actor is None:
                continue
            actor = of.actors[event.actor]
            if any(e.actor == actor.id and e.end == event.start for e in of.events):
                continue
            soon, late = pose(of, actor, event.start - 0.01), pose(of, actor, event.end)
            assert (soon is None) == (event.kind == "enter")
            assert (late is None) == (event.kind == "leave")
            if event.kind == "recolour":
                assert late.colour == event.detail != soon.colour
            if event.kind in ("grow", "shrink"):
                assert late.size == event.detail and (late.radius > soon.radius) == (event.kind == "grow")
            if event.kind == "move":
                axis, sign = {"left": ("x", -1), "right": ("x", 1), "top": ("y", -1), "bottom": ("y", 1)}[event.detail]
                assert sign * (getattr(late, axis) - getattr(soon, axis)) > 0.2
            if event.kind == "bump":
                middle = (event.start + event.end) / 2
                a, b = pose(of, actor, middle), pose(of, of.actors[event.other], middle)
                assert np.hypot(a.x - b.x, a.y - b.y) < 1.02 * (a.radius + b.radius)
            if event.kind == "enter":
                times = np.arange(event.start, event.end, 0.02)
                x1, y1, x2, y2 = next(at[actor.id] for t in times if actor.id in (at := boxes_at(of, t, 100)))
                assert {"left": x1, "top": y1, "right": 100 - x2, "bottom": 100 - y2}[event.detail] == 0


def test_events_change_pixels_where_and_while_they_last(drawn):
    seen = set()
    for of, frames in drawn:
        change = np.abs(frames[LAG:] - frames[:-LAG]).sum(-1)
        calm = [k for k in range(len(change)) if not any(
            e.actor is not None and e.start <= (k + LAG) / FPS and k / FPS <= e.end for e in of.events)]
        for event in of.events:
            others = [e for e in of.events if e is not event and e.actor is not None
                      and e.start < event.end and event.start < e.end]
            if event.actor is None or others:
                continue
            window = range(round(event.start * FPS), min(round(event.end * FPS) - LAG, len(change)))
            boxes = [at[event.actor] for k in window if event.actor in (at := boxes_at(of, k / FPS, 64))]
            left, top, right, bottom = (int(f(edge)) for f, edge in zip(
                (min, min, max, max), zip(*boxes, strict=True), strict=True))
            where = change[:, top:bottom + 1, left:right + 1].sum((1, 2))
            assert where[list(window)].mean() > 1.5 * where[calm].mean(), (of.index, event.kind)
            seen.add(event.kind)
    assert len(seen) >= 9


def test_boxes_hold_what_moves(drawn):
    for of, frames in drawn:
        for event in of.events:
            if event.kind in ("spin", "jump", "recolour"):
                k = round((event.start + event.end) / 2 * FPS)
                moved = np.abs(np.diff(frames[k - LAG:k + LAG + 1], axis=0)).sum((0, 3))
                x1, y1, x2, y2 = boxes_at(of, k / FPS, 64)[event.actor]
                rows, columns = slice(max(0, int(y1) - 12), int(y2) + 12), slice(max(0, int(x1) - 8), int(x2) + 8)
                inside = moved[rows, columns].sum()
                near = [e for e in of.events if e.start <= (k + LAG) / FPS and e.end >= (k - LAG) / FPS]
                if near == [event]:
                    assert inside > 0.5 * moved.sum()


def loudness(sound, start, end):
    return float(np.sqrt(np.mean(sound[round(start * RATE):round(end * RATE)].astype(np.float64) ** 2)))


def test_sound_is_there_while_events_last_and_only_then():
    for of in VIDEOS[:10]:
        sound = soundtrack(of)
        assert sound.shape == (of.seconds * RATE,) and sound.dtype == np.int16
        for event in of.events:
            assert loudness(sound, event.start, event.end) > 600, event.kind
        times = np.arange(0, of.seconds, 0.25)
        for time in times:
            if not any(e.start < time + 0.25 and time < e.end for e in of.events):
                assert loudness(sound, time, time + 0.25) < 100


def test_each_kind_has_a_sound_of_its_own():
    def spectrum(event):
        wave = SOUNDS[event.kind](event)
        pieces = wave[:len(wave) // 1600 * 1600].reshape(-1, 1600)
        power = np.abs(np.fft.rfft(pieces, axis=1)).reshape(len(pieces), -1)[:, 1:].reshape(len(pieces), 40, 20).sum(-1)
        return np.concatenate([power.mean(0), power.std(0)]) / np.linalg.norm(power)

    examples = {kind: [spectrum(e) for of in VIDEOS for e in of.events if e.kind == kind][:6] for kind in KINDS}
    means = {kind: np.mean(found[:3], axis=0) for kind, found in examples.items()}
    right = [kind == min(means, key=lambda other: np.linalg.norm(means[other] - one))
             for kind, found in examples.items() for one in found[3:]]
    assert np.mean(right) > 0.85


def test_windows_clips_and_saliency_agree_as_in_qvhighlights():
    for of in VIDEOS:
        for number, event in enumerate(of.events):
            found = relevance(of, number, (event.id,))
            union = [clip for start, end in found.windows for clip in range(start // 2, end // 2)]
            assert union == list(found.clips) and len(found.saliency) == len(found.clips)
            assert all(start % 2 == end % 2 == 0 and start < end for start, end in found.windows)
            assert all(a[1] < b[0] for a, b in pairwise(found.windows))
            assert all(len(scores) == 3 and set(scores) <= set(range(5)) for scores in found.saliency)
            for clip in range(of.seconds // CLIP):
                filled = min(event.end, 2 * clip + 2) - max(event.start, 2 * clip)
                assert (clip in found.clips) == (filled >= 1)


def test_clips_that_an_event_fills_are_rated_higher():
    whole, half = [], []
    for of in VIDEOS:
        for event in of.events:
            found = relevance(of, 0, (event.id,))
            for clip, scores in zip(found.clips, found.saliency, strict=True):
                full = event.start <= 2 * clip and event.end >= 2 * clip + 2
                (whole if full else half).extend(scores)
    assert np.mean(whole) > np.mean(half) + 0.5


def test_the_file_is_the_same_each_time_and_plays_back_what_was_drawn_and_heard():
    av = pytest.importorskip("av")
    of = video(4, 2, 10)
    frames, sound = list(draw_frames(of, 64, FPS)), soundtrack(of)
    content = encode(frames, FPS, sound, RATE)
    assert content == encode(iter(frames), FPS, sound, RATE)
    with av.open(io.BytesIO(content)) as container:
        played = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert [time for time, _ in played] == [k / FPS for k in range(len(frames))]
    assert max(np.abs(frame.astype(int) - truth).mean() for (_, frame), truth in zip(played, frames, strict=True)) < 6
    with av.open(io.BytesIO(content)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert abs(len(heard) - len(sound)) <= 1024
    for event in of.events:
        played_loudness = loudness(heard * 32768, event.start, event.end)
        assert played_loudness == pytest.approx(loudness(sound, event.start, event.end), rel=0.15)


def test_longer_videos_are_cut_into_shots_of_their_own_cast_and_setting():
    of = video(4, 0, 72)
    assert [(shot.start, shot.end) for shot in of.shots] == [(0, 24), (24, 48), (48, 72)]
    assert {actor.shot for actor in of.actors} == {0, 1, 2}
    for time in (5.0, 30.0, 60.0):
        shown = of.shot_at(time)
        assert all(of.actors[actor].shot == shown for actor in boxes_at(of, time, 64))
    few = video(4, 0, 50)
    assert [(shot.start, shot.end) for shot in few.shots] == [(0, 24), (24, 50)]


@pytest.mark.parametrize("seconds", [8, 25, 0])
def test_a_length_that_clips_do_not_fill_is_refused(seconds):
    with pytest.raises(HeedError, match="even number of seconds"):
        video(0, 0, seconds)


def test_an_odd_side_is_refused():
    with pytest.raises(HeedError, match="even"):
        next(draw_frames(video(0, 0), 63, FPS))


@given(st.floats(-100, 100))
def test_the_wave_is_near_a_sine(turns):
    assert wave(turns) == pytest.approx(-np.sin(2 * np.pi * turns), abs=0.06)


def test_vocabularies_do_not_overlap():
    assert set(SEEN) | set(HEARD) == set(KINDS) and not set(SEEN) & set(HEARD)
    assert not {e.detail for of in VIDEOS for e in of.events if e.kind == "recolour"} - set(COLOURS)
    assert all(re.fullmatch("[a-z]+", kind) for kind in KINDS)
