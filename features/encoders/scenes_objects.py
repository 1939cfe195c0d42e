"""What objects of a rendered video look like and what they do: the scenes detector on each frame, and its tracks.

``scenes:objects``, with the detector's shipped weights, or ``=PATH``. A window is five frames of two seconds: at two a
second nobody would be seen to shake, who is back in place after half a second. Objects are followed from frame to frame
by look and place; of each it is known how probable every shape, colour, size and texture is (a, 23 numbers) and what it
does (m, 14 numbers). The feature is the sum over objects of the products m a', 14 vectors of 23 numbers: the look of
what moves to the left, of what grows, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from features.detectors.detector import DetectorOptions
from features.detectors.frcnn import FasterRCNNDetector
from features.detectors.scenes_frcnn import load as load_detector
from features.detectors.scenes_model import SIDE
from features.encoders.encoder import Encoder, EncoderName, EncoderOptions, settled_device
from features.encoders.pixels import Pixels
from features.errors import HeedError
from features.regions import Regions

FRAMES, RATE = 5, 2.5
MEASURES = ("present", "left", "right", "up", "down", "grows", "shrinks", "stretches", "changes", "recolours",
            "becomes", "appears", "vanishes", "near")
"""What a track does, each 0 to 1: the share of the window's frames it is in; how far it moves from one frame to the
next; how much its box and its look change; how much its colour does (recolours: the look before, becomes: the look
after); whether it is new, or gone; how near it comes to another."""
SEEN_BEFORE, SEEN_AFTER = MEASURES.index("recolours"), MEASURES.index("becomes")
FAR, GROWTH, CHANGE = 0.1, 0.25, 0.5
"""What counts as 1 between two frames: a tenth of the picture; a change of log area; of a feature, of its length."""
NEAR = 0.25
"""Centres that are this far apart, in widths of the picture, are not near."""
APART = 1.0
"""Two boxes whose looks and places differ by more than this are not the same object."""


def knows(name: str) -> bool:
    """Whether this is the one encoder of this family."""
    return name == "objects"


def load(name: EncoderName, options: EncoderOptions) -> Encoder:
    """Load the detector; raises `HeedError` where its weights do not fit."""
    if name.name not in ("objects", ""):
        raise HeedError(f"The family scenes has one encoder, scenes:objects, not {name.name!r}.")
    device = settled_device(options)
    detector = load_detector(DetectorOptions(
        weights=name.weights or "default", boxes=(0, 10), score_threshold=0.3, nms=0.5, device=str(device),
        threads=options.threads))
    looks = sum(len(names) for names in (detector.describe()["classes"], *detector.describe()["attributes"].values()))

    def forward(windows: Tensor) -> Tensor:
        count, frames = windows.shape[0], windows.shape[2]
        pictures = (windows * 255).round().to(torch.uint8).permute(0, 2, 3, 4, 1).flatten(0, 1).cpu().numpy()
        seen = [_objects(detector, regions) for regions in detector.detect(list(pictures))]
        features = [pooled(seen[first:first + frames], looks) for first in range(0, count * frames, frames)]
        return torch.from_numpy(np.stack(features))

    described = {key: value for key, value in detector.describe().items() if key not in ("versions", "dim", "name")}
    identity = {"name": "scenes", "feature": "measures times looks, summed over tracks", "measures": list(MEASURES),
                "scales": [FAR, GROWTH, CHANGE, NEAR, APART], "detector": described}
    # The detector normalises for itself: it is given values of 0 to 1.
    pixels = Pixels(SIDE, (SIDE, SIDE), (0.0,) * 3, (1.0,) * 3, "bilinear")
    return Encoder(identity, looks * len(MEASURES), pixels, forward, device, FRAMES, RATE,
                   {"torch": torch.__version__})


class Objects:
    """The objects of a frame."""

    def __init__(self, boxes: np.ndarray, looks: np.ndarray, colours: np.ndarray, features: np.ndarray) -> None:
        self.boxes, self.looks, self.colours, self.features = boxes, looks, colours, features
        self.centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        self.sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)

    def __len__(self) -> int:
        return len(self.boxes)


def _objects(detector: FasterRCNNDetector, regions: Regions) -> Objects:
    """The detector's regions with the probabilities of every shape and attribute; boxes as fractions of the frame."""
    with torch.inference_mode():
        features = torch.from_numpy(regions.features).to(detector.device)
        kinds = [detector.model.roi_heads.box_predictor.cls_score(features).softmax(1)[:, 1:],
                 *(head(features).softmax(1) for head in detector.heads)]
    size = np.array([regions.width, regions.height] * 2, np.float32)
    looks = torch.cat(kinds, 1).float().cpu().numpy()
    return Objects(regions.boxes / size, looks, kinds[1].float().cpu().numpy(), regions.features)


def pooled(frames: Sequence[Objects], looks: int) -> np.ndarray:
    """The feature of a window: (measures x looks,) float32, zeros where nothing is seen."""
    total: np.ndarray = np.zeros((looks, len(MEASURES)), np.float32)
    for objects in frames:
        if len(objects):
            place = np.zeros((len(objects), len(MEASURES)), np.float32)
            place[:, 0], place[:, -1] = 1 / len(frames), _near(objects) / len(frames)
            total += objects.looks.T @ place
    steps = max(1, len(frames) - 1)
    for before, after in pairwise(frames):
        first, second = _same(before, after)
        if len(first):
            measures = _change(before, after, first, second) / steps
            old, new = before.looks[first], after.looks[second]
            total += ((old + new) / 2).T @ measures
            for sign, column in ((1, SEEN_BEFORE), (-1, SEEN_AFTER)):
                total[:, column] += sign * ((old - new) / 2).T @ measures[:, column]
        for objects, kept, name in ((after, second, "appears"), (before, first, "vanishes")):
            rest = np.setdiff1d(np.arange(len(objects)), kept)
            total[:, MEASURES.index(name)] += objects.looks[rest].sum(0) / steps
    return total.T.reshape(-1)


def _near(objects: Objects) -> np.ndarray:
    distance: np.ndarray = np.linalg.norm(objects.centres[:, None] - objects.centres[None], axis=2)
    np.fill_diagonal(distance, NEAR)
    return np.clip(1 - distance.min(1) / NEAR, 0, 1)


def _same(before: Objects, after: Objects) -> tuple[np.ndarray, np.ndarray]:
    """Places of the objects that are in both frames, by the cheapest assignment of looks and places."""
    if not len(before) or not len(after):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    looks = np.abs(before.looks[:, None] - after.looks[None]).sum(2) / 8  # 0 to 1, as four distributions are compared
    places = np.linalg.norm(before.centres[:, None] - after.centres[None], axis=2)
    cost = looks + 2 * places
    first, second = scipy.optimize.linear_sum_assignment(cost)
    close = cost[first, second] <= APART
    return first[close], second[close]


def _change(before: Objects, after: Objects, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(objects, measures) float32: what each of the objects in both frames does between them."""
    moved = (after.centres[second] - before.centres[first]) / FAR
    sides = np.log(after.sides[second] / before.sides[first])
    area, shape = sides.sum(1) / GROWTH, np.abs(sides[:, 0] - sides[:, 1]) / GROWTH
    old, new = before.features[first], after.features[second]
    look = np.linalg.norm(new - old, axis=1) / (CHANGE * np.maximum(np.linalg.norm(old, axis=1), 1e-6))
    colour = np.abs(after.colours[second] - before.colours[first]).sum(1) / 2
    zero = np.zeros(len(first))
    columns = [zero, -moved[:, 0], moved[:, 0], -moved[:, 1], moved[:, 1], area, -area, shape, look, colour, colour,
               zero, zero, zero]
    return np.clip(np.stack(columns, 1), 0, 1).astype(np.float32)
