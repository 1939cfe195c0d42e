"""Detections as a file: one Arrow IPC file, a row an image, without the regions' features.

Columns: image (string key), boxes (list<float>, four an object, xyxy in pixels), classes (list<int32>), scores
(list<float>), attributes (list<int32>, as many an object as the detector has kinds), width and height.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from evaluation.arrow_file import mapped_table
from features.regions import Regions

_SCHEMA = pa.schema([
    ("image", pa.string()), ("boxes", pa.list_(pa.float32())), ("classes", pa.list_(pa.int32())),
    ("scores", pa.list_(pa.float32())), ("attributes", pa.list_(pa.int32())), ("width", pa.int32()),
    ("height", pa.int32()),
])


def write_detections(path: Path, found: Iterable[tuple[str, Regions]]) -> None:
    """Write the regions found in images, by key."""
    rows = [{"image": key, "boxes": seen.boxes.ravel(), "classes": seen.classes, "scores": seen.class_scores,
             "attributes": seen.attributes.ravel(), "width": seen.width, "height": seen.height} for key, seen in found]
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))


def read_detections(path: Path) -> dict[str, Regions]:
    """What `write_detections` wrote, by key: regions with features of length 0 and attribute scores of 1.

    Raises `HeedError` where it is no such file.
    """
    table = mapped_table(path, _SCHEMA, "file of detections")
    found = {}
    for row in table.to_pylist():
        classes = np.array(row["classes"], np.int32)
        kinds = len(row["attributes"]) // max(1, len(classes))
        attributes = np.array(row["attributes"], np.int32).reshape(len(classes), kinds)
        found[row["image"]] = Regions(
            np.array(row["boxes"], np.float32).reshape(-1, 4), np.zeros((len(classes), 0), np.float32), classes,
            np.array(row["scores"], np.float32), attributes, np.ones(attributes.shape, np.float32),
            row["width"], row["height"],
        ).checked()
    return found
