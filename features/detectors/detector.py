"""What every detector is: options in, images in, `Regions` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from features.regions import Regions


@dataclass(frozen=True)
class DetectorOptions:
    """How a detector sees. Everything here is part of a store's identity: other options, other bytes."""

    # Weights: "default", "random", a name the detector knows (downloaded when online) or a file's path. A detector of
    # several architectures takes ARCHITECTURE=PATH and ARCHITECTURE=random too.
    weights: str = "default"
    # Keep at least MIN and at most MAX boxes an image (bottom-up attention uses 10 100 or 36 36).
    boxes: tuple[int, int] = (10, 100)
    # regions: the detector's own boxes; grid: one region a cell of the last feature map.
    mode: Literal["regions", "grid"] = "regions"
    # A box enters with at least this class confidence, before the MIN and MAX rule.
    score_threshold: float = 0.2
    # Intersection over union above which the lower-scored box of the same class is dropped.
    nms: float = 0.3
    # Where the network runs: cpu, cuda, cuda:1, or auto (cuda where there is one).
    device: str = "auto"
    # CPU threads a network may use. Fixed, as it can change the last bit of a feature.
    threads: int = 1


class Detector(Protocol):
    """A loaded detector."""

    dim: int
    """Length d of a region feature."""
    attributes: int
    """Number a of attribute kinds it predicts for each region."""

    def describe(self) -> dict[str, Any]:
        """Identity for the store, JSON: name, weights digest, options, class and attribute names."""
        ...

    def detect(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray | None] | None = None
    ) -> list[Regions]:
        """Detect regions in upright RGB uint8 images (height, width, 3) of any, also different, sizes.

        Where ``boxes`` gives an image (n, 4) float32 xyxy pixel boxes, features are pooled for exactly those, in
        their order, instead of for the detector's own proposals. Features come back as float32.
        """
        ...
