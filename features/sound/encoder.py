"""What an encoder of sound is: stretches of samples in, a vector each out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.errors import HeedError


@dataclass(frozen=True)
class SoundEncoder:
    """A loaded encoder."""

    identity: dict[str, Any]
    """What it is, for a store."""
    dim: int
    """Length of a feature."""
    rate: int
    """Samples a second that it listens to."""
    forward: Callable[[Sequence[np.ndarray]], np.ndarray]
    """(n,) float32 samples each, of any lengths, to (stretches, dim) float32."""
    longest: float = 0.0
    """Seconds of the longest stretch it can take; 0 for any."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries; told, never compared."""

    def describe(self) -> dict[str, Any]:
        """Identity for a store, JSON."""
        return {**self.identity, "dim": self.dim, "rate": self.rate, "versions": self.versions}

    def encode(self, sounds: Sequence[np.ndarray]) -> np.ndarray:
        """(stretches, dim) float32. A stretch without samples has a feature of zeros, which no sound has."""
        out = np.zeros((len(sounds), self.dim), np.float32)
        heard = [place for place, samples in enumerate(sounds) if len(samples)]
        longest = max((len(sounds[place]) for place in heard), default=0)
        if self.longest and longest > round(self.longest * self.rate):
            raise HeedError(f"{self.identity['name']} takes at most {self.longest:g} s of sound at once, not "
                            f"{longest / self.rate:g}")
        if heard:
            out[heard] = self.forward([sounds[place] for place in heard])
        return out
