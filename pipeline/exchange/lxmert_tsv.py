"""LXMERT's TSV: img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features.

Source: airsplay/lxmert, src/utils.py (papers: value.md §2.6). Ids are int64, confidences, boxes and features float32.
Height comes before width, unlike in bottom-up attention's files, and num_boxes is the eighth column.
"""

from __future__ import annotations

import numpy as np

from features.regions import Regions
from pipeline.exchange.tsv import array, columns, integer, lines
from pipeline.sources import Item, read_bytes

COLUMNS = ("img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes",
           "features")

items = lines


def read(item: Item) -> Regions:
    """One line's regions; `HeedError` with the reason where it cannot be read."""
    row = columns(read_bytes(item), COLUMNS)
    n = integer(row["num_boxes"], "num_boxes")
    return Regions(
        boxes=array(row["boxes"], "<f4", n, "boxes", 4),
        features=array(row["features"], "<f4", n, "features"),
        classes=array(row["objects_id"], "<i8", n, "objects_id", 1).reshape(n).astype(np.int32),
        class_scores=array(row["objects_conf"], "<f4", n, "objects_conf", 1).reshape(n),
        attributes=array(row["attrs_id"], "<i8", n, "attrs_id", 1).reshape(n, 1).astype(np.int32),
        attribute_scores=array(row["attrs_conf"], "<f4", n, "attrs_conf", 1).reshape(n, 1),
        width=integer(row["img_w"], "img_w"), height=integer(row["img_h"], "img_h"),
    )
