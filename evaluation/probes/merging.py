"""Regions that a subject is shown: the annotated boxes of an image, supplemented by detected ones.

VALUE (§3 of Cao et al. 2020) shows annotated regions and adds detected ones, as there are fewer of the former than a
model is used to; how they are merged is not published. The rule here, of which every number is an option:

- *With a store of given boxes* (extracted with the annotated boxes as `heed extract regions` takes them): the annotated
  boxes come first, in the annotation's order, each by the store's box that overlaps it with an IoU of at least 0.9;
  then the detected ones in the detector's order, without those whose IoU with any annotated one reaches the threshold,
  until the wanted number is there.
- *Without*: the detected regions alone, the first of the wanted number. An annotated box stands for the detected one
  that overlaps it most, if their IoU reaches the threshold, and is absent otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.boxes import iou
from features.errors import HeedError
from features.regions import Regions

SAME = 0.9
"""IoU from which a store's box is the annotated one: published annotations are rounded and clipped."""


@dataclass(frozen=True)
class Merged:
    """Which rows of the two stores an image is shown by, and where its annotated boxes are among them."""

    given: np.ndarray
    """(g,) int64 rows of the given regions, shown first."""
    detected: np.ndarray
    """(d,) int64 rows of the detected regions, shown behind them."""
    places: np.ndarray
    """(annotated,) int64: each annotated box's region, -1 where it has none."""
    boxes: np.ndarray
    """(g + d, 4) float32."""


def merge(annotated: np.ndarray, given: np.ndarray | None, detected: np.ndarray, most: int,
          threshold: float = 0.5) -> Merged:
    """Apply the rule to boxes (n, 4); ``given`` None is without such a store. At most ``most`` regions are shown."""
    annotated = np.asarray(annotated, np.float32).reshape(-1, 4)
    if given is None:
        kept = np.arange(min(most, len(detected)))
        return Merged(np.zeros(0, np.int64), kept, _nearest(annotated, detected[kept], threshold), detected[kept])
    found = _nearest(annotated, given, SAME)
    first = list(dict.fromkeys(found[found >= 0].tolist()))[:most]
    order = {row: place for place, row in enumerate(first)}
    places = np.array([order.get(row, -1) for row in found.tolist()], np.int64)
    shown = given[first].reshape(-1, 4)
    free = np.flatnonzero(iou(detected, shown).max(1, initial=0) < threshold)[:most - len(first)]
    return Merged(np.array(first, np.int64), free, places, np.concatenate([shown, detected[free]]))


def _nearest(annotated: np.ndarray, boxes: np.ndarray, threshold: float) -> np.ndarray:
    """(annotated,) int64: the box that overlaps each most, -1 where none reaches the threshold."""
    if not len(annotated) or not len(boxes):
        return np.full(len(annotated), -1, np.int64)
    overlap = iou(annotated, boxes)
    return np.where(overlap.max(1) >= threshold, overlap.argmax(1), -1)


def regions_of(merged: Merged, given: Regions | None, detected: Regions) -> Regions:
    """The regions that `merge` chose; attributes are left out. Raises `HeedError` where features differ in length."""
    parts = [(detected, merged.detected)] if given is None else [(given, merged.given), (detected, merged.detected)]
    if given is not None and given.features.shape[1] != detected.features.shape[1]:
        raise HeedError(f"The given boxes' features have {given.features.shape[1]} numbers, the detected ones' "
                        f"{detected.features.shape[1]}: extract both with one detector.")
    n = len(merged.boxes)

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(regions, name)[rows] for regions, rows in parts])

    return Regions(column("boxes"), column("features"), column("classes"), column("class_scores"),
                   np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32), detected.width, detected.height)
