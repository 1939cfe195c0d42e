"""Log-mel spectrograms in NumPy: frames, windows, filters and logarithms as the field's libraries define them.

Two mel scales. Slaney's Auditory Toolbox (1998), librosa's default: mel = 3 f / 200 below 1000 Hz, and above
15 + 27 ln(f / 1000) / ln 6.4. HTK's (Young et al., The HTK Book, §5.4): mel = 2595 log10(1 + f / 700). Filter m is a
triangle over frequency that rises from the m-th to the next of mels + 2 points, which are evenly spaced in mel, and
falls to the one after; with Slaney's area normalisation it is divided by half its width in Hz.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from features.errors import HeedError

Scale = Literal["slaney", "htk"]


@dataclass(frozen=True)
class LogMel:
    """How a spectrogram is made."""

    rate: int = 16_000
    """Samples a second."""
    mels: int = 64
    scale: Scale = "slaney"
    area: bool = True
    """Whether each filter has the same area (librosa's norm="slaney") or the same height, 1 (HTK)."""
    window: int = 400
    """Samples of a frame, under a periodic Hann window: 25 ms."""
    hop: int = 160
    """Samples from one frame to the next: 10 ms."""
    fft: int = 512
    """Points of the transform; a frame is filled up with zeros behind it."""
    low: float = 0.0
    """Hz at which the lowest filter begins."""
    high: float = 0.0
    """Hz at which the highest ends; 0 is half the rate."""
    floor: float = 1e-10
    """Less power than this is taken for this."""

    def __post_init__(self) -> None:
        top = self.high or self.rate / 2
        if not 0 <= self.low < top <= self.rate / 2 or min(self.mels, self.hop) < 1 or self.window > self.fft:
            raise HeedError(f"A spectrogram of {self.mels} bands from {self.low:g} to {top:g} Hz at {self.rate} Hz, "
                            f"windows of {self.window} samples in {self.fft} points, cannot be made.")

    def to_json(self) -> dict[str, Any]:
        """For a store's identity."""
        return asdict(self)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """(n,) float32 samples to (frames, mels) float32 natural logarithms of power.

        Frames begin at 0, ``hop``, … and lie wholly inside; fewer samples than one window are filled up with zeros.
        """
        power = self.power(samples)
        return np.log(np.maximum(power @ self.filters, self.floor)).astype(np.float32)

    def power(self, samples: np.ndarray) -> np.ndarray:
        """(frames, fft / 2 + 1) float64 power at each frequency."""
        short = self.window - len(samples)
        padded = np.pad(samples, (0, short)) if short > 0 else samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        return np.abs(np.fft.rfft(frames * hann, self.fft, axis=1)) ** 2

    @cached_property
    def filters(self) -> np.ndarray:
        """(fft / 2 + 1, mels) float64 triangles."""
        low, high = to_mel(np.array([self.low, self.high or self.rate / 2]), self.scale)
        points = to_hertz(np.linspace(low, high, self.mels + 2), self.scale)
        bins = np.linspace(0, self.rate / 2, self.fft // 2 + 1)[:, None]
        rising = (bins - points[:-2]) / (points[1:-1] - points[:-2])
        falling = (points[2:] - bins) / (points[2:] - points[1:-1])
        triangles = np.maximum(0, np.minimum(rising, falling))
        return triangles * 2 / (points[2:] - points[:-2]) if self.area else triangles


def to_mel(hertz: np.ndarray, scale: Scale) -> np.ndarray:
    """Frequencies in mel."""
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    return np.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * np.log(np.maximum(hertz, 1) / 1000) / np.log(6.4))


def to_hertz(mel: np.ndarray, scale: Scale) -> np.ndarray:
    """Inverse of `to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27))
