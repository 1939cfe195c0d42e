"""Bottom-up attention's TSV: image_id, image_w, image_h, num_boxes, boxes, features (papers: value.md §2.6).

Source: peteanderson80/bottom-up-attention, tools/read_tsv.py. Boxes are float32 xyxy pixels, features float32. The file
has no class ids: they come back as -1. Width comes before height, unlike in LXMERT's files.
"""

from __future__ import annotations

import numpy as np

from features.regions import Regions
from pipeline.exchange.tsv import array, columns, integer, lines
from pipeline.sources import Item, read_bytes

COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")

items = lines


def read(item: Item) -> Regions:
    """One line's regions; `HeedError` with the reason where it cannot be read."""
    row = columns(read_bytes(item), COLUMNS)
    n = integer(row["num_boxes"], "num_boxes")
    return Regions(
        boxes=array(row["boxes"], "<f4", n, "boxes", 4),
        features=array(row["features"], "<f4", n, "features"),
        classes=np.full(n, -1, np.int32), class_scores=np.zeros(n, np.float32),
        attributes=np.zeros((n, 0), np.int32), attribute_scores=np.zeros((n, 0), np.float32),
        width=integer(row["image_w"], "image_w"), height=integer(row["image_h"], "image_h"),
    )
