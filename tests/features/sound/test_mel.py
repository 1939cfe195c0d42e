"""Log-mel spectrograms against transformers' and SciPy's, and against the scales' definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from features.errors import HeedError
from features.sound.mel import LogMel, to_hertz, to_mel

NOISE = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)


@pytest.mark.parametrize(("scale", "area"), [("slaney", True), ("slaney", False), ("htk", False), ("htk", True)])
def test_the_spectrogram_is_that_of_transformers(scale: str, area: bool) -> None:
    pytest.importorskip("transformers", reason="compared with transformers")
    from features.hugging_face import transformers

    audio_utils = transformers().audio_utils
    ours = LogMel(mels=40, scale=scale, area=area, low=20, high=7600)
    filters = audio_utils.mel_filter_bank(257, 40, 20, 7600, 16_000, norm="slaney" if area else None, mel_scale=scale)
    assert np.abs(ours.filters - filters).max() < 1e-12 and filters.max() > 1e-3
    for samples in (NOISE, TONE):
        theirs = audio_utils.spectrogram(
            samples, audio_utils.window_function(400, "hann"), 400, 160, fft_length=512, power=2.0, center=False,
            mel_filters=filters, mel_floor=1e-10, log_mel="log").T
        found = ours(samples)
        assert found.shape == theirs.shape == (98, 40) and found.dtype == np.float32
        assert np.abs(found - theirs).max() < 1e-4


def test_the_power_is_that_of_scipy() -> None:
    ours = LogMel(window=256, hop=128, fft=512)
    _, _, spectrum = signal.stft(NOISE, 16_000, "hann", 256, 128, 512, boundary=None, padded=False, scaling="spectrum")
    expected = np.abs(spectrum.T * signal.get_window("hann", 256).sum()) ** 2
    assert np.allclose(ours.power(NOISE), expected, rtol=1e-4)


def test_the_scales_are_where_their_authors_put_them() -> None:
    # Slaney 1998: 15 mel to 1000 Hz, 27 steps from there to 6400 Hz. HTK: 1000 Hz are 1000 mel, to a part in 10,000.
    assert to_mel(np.array([1000.0, 6400.0, 200.0]), "slaney") == pytest.approx([15, 42, 3])
    assert to_mel(np.array([1000.0, 700.0]), "htk") == pytest.approx([1000, 2595 * np.log10(2)], rel=1e-4)


@given(st.floats(0, 20_000), st.sampled_from(["slaney", "htk"]))
def test_hertz_come_back_from_mel(frequency: float, scale: str) -> None:
    assert to_hertz(to_mel(np.array([frequency]), scale), scale)[0] == pytest.approx(frequency, rel=1e-6, abs=1e-6)


def test_filters_of_one_area_have_one_area_and_others_one_height() -> None:
    steps = 8000 / 4096
    area = LogMel(mels=20, fft=8192).filters
    assert (area.sum(0) * steps) == pytest.approx(1, rel=0.02)
    height = LogMel(mels=20, fft=8192, area=False, scale="htk").filters
    assert height.max(0) == pytest.approx(1, abs=0.05) and (height >= 0).all()


def test_a_tone_is_loudest_in_the_band_it_falls_in_and_silence_is_the_floor() -> None:
    spectrogram = LogMel(mels=64)
    bands = to_hertz(np.linspace(0, to_mel(np.array([8000.0]), "slaney")[0], 66), "slaney")[1:-1]
    assert abs(bands[spectrogram(TONE).mean(0).argmax()] - 440) < 60
    assert np.allclose(spectrogram(np.zeros(1600, np.float32)), np.log(1e-10))


def test_short_sounds_are_filled_up_to_one_window() -> None:
    assert LogMel()(NOISE[:10]).shape == (1, 64) and LogMel()(NOISE[:400]).shape == (1, 64)
    assert LogMel()(NOISE[:560]).shape == (2, 64)


@pytest.mark.parametrize("settings", [{"high": 9000}, {"low": 500, "high": 400}, {"mels": 0}, {"window": 600}])
def test_impossible_spectrograms_are_refused(settings: dict) -> None:
    with pytest.raises(HeedError, match="cannot be made"):
        LogMel(**settings)
