import numpy as np
import pytest

from features.errors import HeedError
from features.video import probe, read_audio
from features.video.sound import audio_blocks
from tests.make_video import SOUND_RATE, make_video

pytest.importorskip("av", reason="videos need PyAV")


def tone(seconds, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE)


def test_samples_come_back_at_their_rate_as_they_were(tmp_path):
    path = make_video(tmp_path / "v.mkv", [], sound=tone(1.5))
    samples = read_audio(path, SOUND_RATE)
    assert samples.dtype == np.float32 and len(samples) == 24000
    assert np.abs(samples - tone(1.5)).max() < 1e-4


def test_another_rate_keeps_the_pitch_and_the_length(tmp_path):
    path = make_video(tmp_path / "v.mkv", [], sound=tone(2.0))
    samples = read_audio(path, 8000)
    assert abs(len(samples) - 16000) <= 1
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / 8000)
    assert np.abs(samples - expected)[200:-200].max() < 0.01


def test_sound_that_begins_later_than_the_pictures_follows_silence(tmp_path):
    path = make_video(tmp_path / "v.mkv", list(range(0, 2000, 100)), sound=tone(1.0), sound_at=0.75)
    samples = read_audio(path, SOUND_RATE)
    assert len(samples) == 28000 and not samples[:12000].any()
    assert np.abs(samples[12000:] - tone(1.0)).max() < 1e-4


def test_time_zero_is_the_files_start(tmp_path):
    path = make_video(tmp_path / "v.mkv", list(range(3000, 5000, 100)), sound=tone(1.0), sound_at=3.25)
    assert probe(path).start == 3
    samples = read_audio(path, SOUND_RATE)
    assert len(samples) == 20000 and not samples[:4000].any() and samples[4000:4100].any()


def test_a_pause_in_the_timestamps_is_silent(tmp_path):
    av = pytest.importorskip("av")
    first = make_video(tmp_path / "a.mkv", [], sound=tone(1.0))
    path = tmp_path / "b.mkv"
    with av.open(str(first)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                if packet.pts * packet.time_base >= 0.511:
                    packet.pts = packet.dts = packet.pts + round(2 / packet.time_base)
                packet.stream = stream
                out.mux(packet)
    samples = read_audio(path, SOUND_RATE)
    assert len(samples) == 48000 and not samples[8192:40192].any()
    assert np.abs(samples[40192:] - tone(1.0)[8192:]).max() < 1e-4


def test_two_channels_are_averaged(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "v.wav"
    both = np.stack([tone(0.5), np.zeros(8000)], 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=SOUND_RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray((both.reshape(1, -1) * 32767).astype(np.int16), "s16", "stereo")
        frame.sample_rate = SOUND_RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert np.abs(read_audio(path, SOUND_RATE) - tone(0.5) / 2).max() < 1e-4


def test_blocks_are_the_whole_in_pieces(tmp_path):
    path = make_video(tmp_path / "v.mkv", [], sound=tone(3.0))
    blocks = list(audio_blocks(path, 12000))
    assert len(blocks) > 10 and np.array_equal(np.concatenate(blocks), read_audio(path, 12000))


def test_a_file_without_sound_says_so(tmp_path):
    with pytest.raises(HeedError, match="the file has no sound"):
        read_audio(make_video(tmp_path / "v.mp4", [0]), SOUND_RATE)
