"""One image's region features: the noun every detector gives and every store of kind ``regions`` holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.errors import HeedError
from features.finite import all_finite


@dataclass(frozen=True)
class Regions:
    """Region features of one image; n, the number of regions, varies from image to image and may be 0.

    Ids index the vocabularies in the detector's description; -1 means "not known" (grid cells, for example).
    """

    boxes: np.ndarray
    """(n, 4) float32: x1, y1, x2, y2 in pixels of the upright image, x2 and y2 exclusive."""
    features: np.ndarray
    """(n, d) float32 as a detector gives them; float16 when read from a store that holds float16."""
    classes: np.ndarray
    """(n,) int32 object class ids."""
    class_scores: np.ndarray
    """(n,) float32 confidences of ``classes``, 0..1."""
    attributes: np.ndarray
    """(n, a) int32: one id for each of the detector's a attribute kinds (a = 0 where it predicts none)."""
    attribute_scores: np.ndarray
    """(n, a) float32 confidences of ``attributes``, 0..1."""
    width: int
    """Image width in pixels."""
    height: int
    """Image height in pixels."""
    class_probabilities: np.ndarray | None = None
    """(n, classes + 1) float32, 0..1, background last; None where a detector was not asked for them."""

    def __len__(self) -> int:
        return len(self.boxes)

    def checked(self) -> Regions:
        """Return self, or raise `HeedError` naming the first inconsistency (shapes, NaN, boxes outside or inverted)."""
        n = len(self.boxes)
        columns = [self.features, self.classes, self.class_scores, self.attributes, self.attribute_scores]
        if self.class_probabilities is not None:
            columns.append(self.class_probabilities)
        if self.boxes.shape != (n, 4) or any(len(column) != n for column in columns):
            raise HeedError(f"region arrays disagree in length: {[len(c) for c in (self.boxes, *columns)]}")
        if self.features.ndim != 2 or self.attributes.shape != self.attribute_scores.shape:
            raise HeedError(f"region arrays have wrong shapes: features {self.features.shape}, "
                            f"attributes {self.attributes.shape} and {self.attribute_scores.shape}")
        if not all_finite(self.features) or not all_finite(self.boxes):
            raise HeedError("region features or boxes hold NaN or infinite numbers")
        if not all_finite(self.class_scores) or not all_finite(self.attribute_scores):
            raise HeedError("confidences hold NaN or infinite numbers")
        x1, y1, x2, y2 = self.boxes.reshape(-1, 4).T
        inverted = (x2 < x1) | (y2 < y1)
        if inverted.any():
            raise HeedError(f"{self._box(inverted)} is inverted (x2 < x1 or y2 < y1)")
        slack = 1.0  # published extractors round to whole pixels, some past the border
        outside = (x1 < -slack) | (y1 < -slack) | (x2 > self.width + slack) | (y2 > self.height + slack)
        if outside.any():
            raise HeedError(f"{self._box(outside)} lies outside its image of {self.width} x {self.height} pixels")
        return self

    def _box(self, bad: np.ndarray) -> str:
        first = int(np.flatnonzero(bad)[0])
        return f"box {first} [{', '.join(f'{edge:g}' for edge in self.boxes[first])}]"
