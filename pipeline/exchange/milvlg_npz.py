"""MILVLG's folder of .npz files, as bottom-up-attention.pytorch writes them.

Source: MILVLG/bottom-up-attention.pytorch, extract_features.py: ``x`` (n, 2048) features, in older extractions
(2048, n); ``bbox`` (n, 4) xyxy pixels; ``num_bbox``, ``image_h``, ``image_w``; ``info``, a pickled dictionary with
objects_id, objects_conf, attrs_id, attrs_conf. Files of its bboxes mode have no x and hold nothing to store. The key is
the file's path without ".npz".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from features.restricted import dictionary
from pipeline.exchange.arrays import file_of, files, need, regions, sized, table, whole
from pipeline.exchange.npz import read_npz
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

NAMES = ("x", "bbox", "num_bbox", "image_h", "image_w")
INFO = {"classes": "objects_id", "class_scores": "objects_conf", "attributes": "attrs_id",
        "attribute_scores": "attrs_conf"}


def items(path: Path) -> Iterable[Item]:
    """Every .npz below the folder."""
    return files(path, ".npz")


def read(item: Item) -> Regions:
    """One file's regions; `HeedError` with the reason where it cannot be read."""
    arrays = read_npz(read_bytes(item), NAMES, ("info",))
    boxes = need(arrays, "bbox")
    n = whole(arrays["num_bbox"], "num_bbox") if "num_bbox" in arrays else len(boxes) if boxes.ndim else 0
    boxes = table(boxes, n, "bbox", np.float32, 4)
    if "x" not in arrays:
        raise HeedError("holds boxes and no features (no x); heed extract regions computes features for boxes that a "
                        "list gives in its column boxes")
    features = arrays["x"]
    if features.ndim == 2 and features.shape[0] != n and features.shape[1] == n:
        features = features.T
    info = dictionary(arrays["info"]) if "info" in arrays else {}
    found: dict[str, Any] = {name: info[given] for name, given in INFO.items() if given in info}
    for name, values in found.items():
        if not isinstance(values, np.ndarray):
            raise HeedError(f"{INFO[name]} of its info is {type(values).__name__}, not an array")
    return regions(boxes, features, whole(need(arrays, "image_w"), "image_w"),
                   whole(need(arrays, "image_h"), "image_h"), **found)


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the folder ``path``, features (n, d)."""
    path.mkdir()
    for row in rows:
        sized(row)
        size = {"image_h": int(row["height"]), "image_w": int(row["width"])}
        info = {"image_id": row["key"], **size, "num_boxes": len(row["boxes"]),
                "objects_id": np.asarray(row["classes"], np.int64), "objects_conf": np.asarray(row["class_scores"])}
        if "attributes" in row:
            info["attrs_id"] = np.asarray(row["attributes"], np.int64)[:, 0]
            info["attrs_conf"] = np.asarray(row["attribute_scores"])[:, 0]
        np.savez_compressed(
            file_of(path, row["key"], ".npz"), x=np.asarray(row["features"], np.float32), bbox=row["boxes"],
            num_bbox=len(row["boxes"]), **size, info=info)  # type: ignore[arg-type]
