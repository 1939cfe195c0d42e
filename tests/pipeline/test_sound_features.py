"""Sound of videos and sound files into stores of clips, in step with the pictures."""

from __future__ import annotations

import wave
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.sound.mel import LogMel
from features.video import guard
from heed import main
from pipeline.clips import Clips
from pipeline.fields import clips_from_row
from pipeline.sound_features import cut
from pipeline.store import Store

av = pytest.importorskip("av", reason="PyAV is not installed")
RATE = 16_000


def tones(seconds: float) -> np.ndarray:
    """Another pitch in each two seconds."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * (300 + 400 * (time // 2)) * time)).astype(np.float32)


def movie(path, seconds: float, sound: np.ndarray | None) -> None:
    """Grey pictures of so many seconds, with sound in PCM, or without."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height = 32, 32
        track = container.add_stream("pcm_s16le", rate=RATE, layout="mono") if sound is not None else None
        for _ in range(round(seconds * 10)):
            grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
            container.mux(pictures.encode(grey))
        container.mux(pictures.encode())
        if track is not None:
            frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(track.encode(frame))
            container.mux(track.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sounds")
    movie(path / "full.mkv", 7.2, tones(7.2))
    movie(path / "half.mkv", 7.2, tones(3.0))
    movie(path / "mute.mkv", 7.2, None)
    with wave.open(str(path / "alone.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((tones(5.0) * 32767).astype("<i2").tobytes())
    (path / "broken.wav").write_bytes(b"RIFF")
    return path


def extract(folder, store, *more) -> int:
    return main(["extract", "sound", str(folder), str(store), "--encoder", "logmel:32", "--inline",
                 "--dtype", "float32", "--decoders", "1", *more])


def clips_of(store: Store, key: str) -> Clips:
    return clips_from_row(store.row(store.find(key)))


def test_each_clip_is_heard_alone_and_keeps_step_with_the_pictures(folder, tmp_path, capsys):
    assert extract(folder, tmp_path / "store") == 3
    printed = capsys.readouterr().out
    assert "4 of 5 files stored" in printed and "broken.wav: " in printed
    store = Store.open(tmp_path / "store")
    full = clips_of(store, "full.mkv")
    assert full.duration == pytest.approx(7.2) and full.spans[:3].tolist() == [[0, 2], [2, 4], [4, 6]]
    mel, sound = LogMel(mels=32), (tones(7.2) * 32767).astype(np.int16).astype(np.float32) / 32768  # as the file has it
    for (start, end), feature in zip(full.spans, full.features, strict=True):
        bands = mel(sound[round(start * RATE):round(end * RATE)])
        assert np.abs(feature - np.concatenate([bands.mean(0), bands.std(0)])).max() < 1e-3
    assert np.abs(np.diff(full.features[:, :32], axis=0)).max(1).min() > 1  # the pitch changes every clip


def test_where_there_is_no_sound_features_are_zero_and_rows_join_with_the_pictures(folder, tmp_path):
    extract(folder, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    full, half, mute = (clips_of(store, f"{name}.mkv") for name in ("full", "half", "mute"))
    assert mute.spans.tolist() == full.spans.tolist() == half.spans.tolist() and not mute.features.any()
    assert half.features[:2].any(1).all() and not half.features[2:].any()
    assert np.abs(half.features[0] - full.features[0]).max() < 1e-4


def test_files_whose_sound_outlasts_their_clips_share_a_decoder(tmp_path, monkeypatch):
    for number in range(4):
        movie(tmp_path / f"{number}.mkv", 4.0, tones(4.6))
    started, start = [], guard.subprocess.Popen

    def counted(*words, **options):
        started.append(words)
        return start(*words, **options)

    monkeypatch.setattr(guard.subprocess, "Popen", counted)
    assert extract(tmp_path, tmp_path / "store", "--shard-rows", "4") == 0
    assert len(Store.open(tmp_path / "store")) == 4 and len(started) == 1


def test_sound_alone_goes_by_its_own_length(folder, tmp_path):
    extract(folder, tmp_path / "store", "--last", "keep")
    alone = clips_of(Store.open(tmp_path / "store"), "alone.wav")
    assert alone.duration == pytest.approx(5, abs=1e-3) and alone.spans.tolist() == [[0, 2], [2, 4], [4, 5]]
    assert alone.features.any(1).all()


def test_files_without_sound_fail_on_request(folder, tmp_path, capsys):
    assert extract(folder, tmp_path / "store", "--without-sound", "fail") == 3
    assert "mute.mkv: the file has no sound" in capsys.readouterr().out


@given(st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(0, 7), min_size=1, max_size=10))
def test_cutting_blocks_is_cutting_the_whole(blocks: list[int], lengths: list[int]):
    whole = np.arange(sum(blocks), dtype=np.float32)
    edges = np.cumsum([0, *lengths]).tolist()
    bounds = list(pairwise(edges))
    found = list(cut(iter(np.split(whole, np.cumsum(blocks)[:-1]) if blocks else []), bounds))
    assert [piece.tolist() for piece in found] == [whole[start:end].tolist() for start, end in bounds]
