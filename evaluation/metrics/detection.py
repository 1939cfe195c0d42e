"""Detection: COCO-style mean average precision, by the official pycocotools, from plain arrays; and coverage.

Average precision is the mean of the precision at 101 recalls, of one class at one IoU from which a found box counts;
mAP is its mean over classes and over the IoUs 0.50, 0.55, …, 0.95, mAP@.5 over classes at 0.50 (Lin et al., ECCV 2014;
cocodataset.org/#detection-eval).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.boxes import iou
from features.errors import HeedError

MOST = 100
"""Best-scored boxes of an image and class that count, as in the official evaluation."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image: true ones, or found ones with scores."""

    boxes: np.ndarray
    """(n, 4) xyxy pixels."""
    classes: np.ndarray
    """(n,) class ids, the same numbers in truth and found."""
    scores: np.ndarray | None = None
    """(n,) confidences of found boxes; None for true ones."""
    attributes: np.ndarray | None = None
    """(n, kinds) attribute ids, where known."""


def mean_average_precision(truth: Sequence[Boxes], found: Sequence[Boxes]) -> dict[str, float]:
    """``map``, ``map50`` and ``map75`` of found boxes, image by image beside the true ones, each 0..1.

    Classes without a true box do not enter the mean; where no image has a true box all three are NaN. Raises
    `HeedError` when pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise HeedError("Mean average precision needs pycocotools: install it with "
                        "`pip install 'heed[detection]'`.") from None
    if len(truth) != len(found):
        raise HeedError(f"There are {len(truth)} images with true boxes but {len(found)} with found ones.")
    true_rows, found_rows = _rows(truth), _rows(found)
    if not true_rows:
        return dict.fromkeys(("map", "map50", "map75"), float("nan"))
    if not found_rows:
        return dict.fromkeys(("map", "map50", "map75"), 0.0)
    images = [{"id": number} for number in range(len(truth))]
    categories = [{"id": kind} for kind in sorted({row["category_id"] for row in true_rows})]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools narrates
        known, seen = COCO(), COCO()
        for table, rows in ((known, true_rows), (seen, found_rows)):
            table.dataset = {"images": images, "categories": categories, "annotations": rows}
            table.createIndex()
        judge = COCOeval(known, seen, "bbox")
        judge.params.maxDets = [1, 10, MOST]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {"map": float(judge.stats[0]), "map50": float(judge.stats[1]), "map75": float(judge.stats[2])}


def coverage(
    truth: Sequence[Boxes], found: Sequence[Boxes], kinds: int, overlap: float = 0.5, threshold: float = 0.2
) -> tuple[float, list[float]]:
    """The share of true boxes that a found one covers, and of those, how often each attribute is right; all 0..1.

    Covered is a true box where a found one scored at least ``threshold`` has an IoU of at least ``overlap`` with it,
    whatever its class; attributes, of which there are ``kinds``, are those of the one that covers it best. NaN where
    there is nothing to count.
    """
    hits, right = [], [np.zeros((0, kinds), bool)]
    for true, seen in zip(truth, found, strict=True):
        assert seen.scores is not None and true.attributes is not None and seen.attributes is not None
        sure = np.flatnonzero(seen.scores >= threshold)
        shared = np.concatenate([iou(true.boxes, seen.boxes[sure]), np.zeros((len(true.boxes), 1))], 1)
        hit = shared.max(1) >= overlap
        hits.append(hit)
        if hit.any():
            right.append(seen.attributes[sure[shared[hit].argmax(1)]] == true.attributes[hit])
    hit, correct = np.concatenate(hits), np.concatenate(right)
    shares = correct.mean(0).tolist() if len(correct) else [float("nan")] * kinds
    return float(hit.mean()) if len(hit) else float("nan"), shares


def _rows(images: Sequence[Boxes]) -> list[dict[str, Any]]:
    """COCO annotations: boxes as x, y, width, height, numbered from 1 (0 means "unmatched" to pycocotools)."""
    rows: list[dict[str, Any]] = []
    for image, part in enumerate(images):
        scores = part.scores if part.scores is not None else np.ones(len(part.boxes))
        for (x1, y1, x2, y2), kind, score in zip(part.boxes.tolist(), part.classes.tolist(), scores.tolist(),
                                                 strict=True):
            rows.append({"id": len(rows) + 1, "image_id": image, "category_id": int(kind), "score": score,
                         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0})
    return rows
