"""What an encoder of frames or clips is: windows of frames in, a vector each out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from features.devices import resolve_device
from features.errors import HeedError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from features.encoders.pixels import Pixels


@dataclass(frozen=True)
class EncoderOptions:
    """Where and how a network runs."""

    # Where the network runs: cpu, cuda, cuda:1, or auto (cuda where there is one).
    device: str = "auto"
    # CPU threads a network may use. Fixed, as it can change the last bit of a feature.
    threads: int = 1


def settled_device(options: EncoderOptions) -> torch.device:
    """The device to load a network on; on a CPU the number of threads is set, as it can change a feature's last bit."""
    import torch

    device = resolve_device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(options.threads)
    return device


@dataclass(frozen=True)
class EncoderName:
    """FAMILY:NAME=WEIGHTS, taken apart."""

    family: str
    """A library or a network: a key of `features.encoders.ENCODERS`."""
    name: str
    """The library's name of the architecture; "" where the path says it."""
    weights: str = ""
    """A path; "random"; "" for the published weights of that name."""


@dataclass(frozen=True)
class Encoder:
    """A loaded network."""

    identity: dict[str, Any]
    """What it is, for a store: name, architecture, weights digest, which of its outputs is the feature."""
    dim: int
    """Length of a feature."""
    pixels: Pixels
    forward: Callable[[Tensor], Tensor]
    """(n, 3, height, width), or (n, 3, frames, height, width) where ``frames`` is more than 1, to (n, dim)."""
    device: torch.device
    frames: int = 1
    """Frames of a window; 1 for an encoder of images."""
    rate: float = 0.0
    """Frames a second at which it was trained to see a window; 0 for an encoder of images."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries; told, never compared."""

    def describe(self) -> dict[str, Any]:
        """Identity for a store, JSON."""
        return {**self.identity, "dim": self.dim, "frames": self.frames, "rate": self.rate,
                "pixels": self.pixels.to_json(), "versions": self.versions}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """What the network looks at in an upright (height, width, 3) uint8 RGB frame: (h, w, 3) uint8."""
        return self.pixels.prepare(image)

    def encode(self, windows: np.ndarray) -> np.ndarray:
        """Features, (n, dim) float32, of windows of prepared frames, (n, frames, h, w, 3) uint8 in order of time."""
        import torch

        if windows.shape[1] != self.frames:
            raise HeedError(f"{self.identity['name']} looks at {self.frames} frames at once, not {windows.shape[1]}")
        with torch.inference_mode():
            values = self.pixels.normalise(torch.from_numpy(windows).to(self.device))
            features = self.forward(values[:, 0] if self.frames == 1 else values.transpose(1, 2))
            if features.shape != (len(windows), self.dim):
                raise HeedError(f"{self.identity['name']} gave features of shape {tuple(features.shape)} where "
                                f"{(len(windows), self.dim)} were expected")
            return features.float().cpu().numpy()
