"""Bottom-up attention's TSV: image_id, image_w, image_h, num_boxes, boxes, features.

Source: peteanderson80/bottom-up-attention, tools/read_tsv.py. Boxes are float32 xyxy pixels, features float32. The file
has no class ids: they come back as -1. Width comes before height, unlike in LXMERT's files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from features.regions import Regions
from pipeline.exchange.arrays import regions
from pipeline.exchange.tsv import array, columns, encode, integer, lines, write_lines
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

COLUMNS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")

items = lines


def read(item: Item) -> Regions:
    """One line's regions; `HeedError` with the reason where it cannot be read."""
    row = columns(read_bytes(item), COLUMNS)
    n = integer(row["num_boxes"], "num_boxes")
    return regions(array(row["boxes"], "<f4", n, "boxes", 4), array(row["features"], "<f4", n, "features"),
                   integer(row["image_w"], "image_w"), integer(row["image_h"], "image_h"))


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``."""
    write_lines(rows, path, lambda row: [
        row["key"], str(row["width"]), str(row["height"]), str(len(row["boxes"])),
        encode(row["boxes"], "<f4"), encode(row["features"], "<f4"),
    ])
