"""LXMERT's TSV: img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features.

Source: airsplay/lxmert, src/utils.py. Ids are int64, confidences, boxes and features float32.
Height comes before width, unlike in bottom-up attention's files, and num_boxes is the eighth column.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from features.regions import Regions
from pipeline.exchange.arrays import regions
from pipeline.exchange.tsv import array, columns, encode, integer, lines, write_lines
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

COLUMNS = ("img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes",
           "features")

items = lines


def read(item: Item) -> Regions:
    """One line's regions; `HeedError` with the reason where it cannot be read."""
    return lxmert_regions(columns(read_bytes(item), COLUMNS))


def lxmert_regions(row: dict[str, bytes]) -> Regions:
    """Regions out of LXMERT's columns."""
    n = integer(row["num_boxes"], "num_boxes")
    return regions(
        array(row["boxes"], "<f4", n, "boxes", 4), array(row["features"], "<f4", n, "features"),
        integer(row["img_w"], "img_w"), integer(row["img_h"], "img_h"),
        array(row["objects_id"], "<i8", n, "objects_id", 1), array(row["objects_conf"], "<f4", n, "objects_conf", 1),
        array(row["attrs_id"], "<i8", n, "attrs_id", 1), array(row["attrs_conf"], "<f4", n, "attrs_conf", 1),
    )


def lxmert_line(row: Row) -> list[str]:
    """LXMERT's columns of one row; the first attribute kind where the store has several, -1 where it has none."""
    n = len(row["boxes"])
    attributes = row["attributes"][:, 0] if "attributes" in row else np.full(n, -1)
    scores = row["attribute_scores"][:, 0] if "attributes" in row else np.zeros(n)
    return [row["key"], str(row["height"]), str(row["width"]),
            encode(row["classes"], "<i8"), encode(row["class_scores"], "<f4"), encode(attributes, "<i8"),
            encode(scores, "<f4"), str(n), encode(row["boxes"], "<f4"), encode(row["features"], "<f4")]


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``."""
    write_lines(rows, path, lxmert_line)
