"""What every detector is: options in, images in, `Regions` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from features.regions import Regions


@dataclass(frozen=True)
class DetectorOptions:
    """How a detector sees. Everything here is part of a store's identity: other options, other bytes."""

    # Weights: "default", "random", a name the detector knows (downloaded when online) or a file's path. A detector of
    # several architectures takes ARCHITECTURE=PATH and ARCHITECTURE=random too.
    weights: str = "default"
    # Keep at least MIN and at most MAX boxes an image: 10 100 (bottom-up attention also uses 36 36), or the preset's.
    boxes: tuple[int, int] | None = None
    # regions: the detector's own boxes; grid: one region a cell of the last feature map.
    mode: Literal["regions", "grid"] = "regions"
    # A box enters with at least this class confidence, before the MIN and MAX rule: 0.2, or the preset's.
    score_threshold: float | None = None
    # Intersection over union above which the lower-scored box of the same class is dropped: 0.3, or the preset's.
    nms: float | None = None
    # Whose rule chooses among proposals (bottom-up, detectron2); auto is that of the published extractor.
    preset: Literal["auto", "caffe", "detectron2", "predictor"] = "auto"
    # Configuration of a detectron2 model: a .yaml or .py file, or a name in detectron2's model zoo.
    config: str = ""
    # Store each region's probabilities of all classes too (bottom-up, detectron2).
    distributions: bool = False
    # Where the network runs: cpu, cuda, cuda:1, or auto (cuda where there is one).
    device: str = "auto"
    # CPU threads a network may use. Fixed, as it can change the last bit of a feature.
    threads: int = 1


class Numbers(NamedTuple):
    """The numbers of a selection rule, as options and defaults together set them."""

    boxes: tuple[int, int]
    score_threshold: float
    nms: float


def numbers(options: DetectorOptions) -> Numbers:
    """What the options set, and bottom-up attention's numbers for the rest."""
    return Numbers((10, 100) if options.boxes is None else options.boxes,
                   0.2 if options.score_threshold is None else options.score_threshold,
                   0.3 if options.nms is None else options.nms)


def described(options: DetectorOptions, device: str) -> dict[str, Any]:
    """The options as a store's identity holds them: without what is not set, which not every detector has.

    Nor with the weights, which are spelt in many ways: their digest counts.
    """
    said = asdict(options) | {"device": device}
    unset = {"preset": "auto", "config": "", "distributions": False}
    return {name: value for name, value in said.items() if name != "weights" and unset.get(name) != value}


class Detector(Protocol):
    """A loaded detector."""

    dim: int
    """Length d of a region feature."""
    attributes: int
    """Number a of attribute kinds it predicts for each region."""
    distribution: int
    """Columns of a region's class probabilities, background last; 0 where they are not asked for."""

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
