"""What a store holds besides regions: a feature for each stretch of a video or sound, or for each token of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import HeedError
from features.finite import all_finite


@dataclass(frozen=True)
class Clips:
    """One video's or sound's features in time order; a frame sampled at f per second is a clip of 1 / f seconds."""

    features: np.ndarray
    """(n, d) float32 or float16."""
    spans: np.ndarray
    """(n, 2) float32: start and end of each clip in seconds."""
    duration: float
    """Seconds; the end of the last clip where the file does not say."""

    def checked(self) -> Clips:
        """Return self, or raise `HeedError` naming the first inconsistency."""
        _check_features(self.features)
        if self.spans.shape != (len(self.features), 2):
            raise HeedError(f"{len(self.features)} clips have spans of shape {self.spans.shape}, not (n, 2)")
        if not np.isfinite(self.spans).all() or not np.isfinite(self.duration) or self.duration < 0:
            raise HeedError("spans or duration are not finite numbers of seconds")
        if (self.spans[:, 1] < self.spans[:, 0]).any():
            raise HeedError("a span ends before it starts")
        return self


@dataclass(frozen=True)
class Tokens:
    """One text's features: a vector a token and, where the encoder gives one, a vector for the whole."""

    features: np.ndarray
    """(n, d) float32 or float16."""
    pooled: np.ndarray | None = None
    """(p,) float32."""

    def checked(self) -> Tokens:
        """Return self, or raise `HeedError` naming the first inconsistency."""
        _check_features(self.features)
        if self.pooled is not None and (self.pooled.ndim != 1 or not np.isfinite(self.pooled).all()):
            raise HeedError(f"the pooled feature has shape {self.pooled.shape} or is not finite; a vector is expected")
        return self


def _check_features(features: np.ndarray) -> None:
    if features.ndim != 2 or not features.shape[1]:
        raise HeedError(f"features have shape {features.shape} where (n, d) is expected")
    if not all_finite(features):
        raise HeedError("features hold NaN or infinite numbers")
