"""UNITER's folder of .npz files: features, norm_bb, conf, soft_labels; float32.

Source: ChenRocks/UNITER, scripts/convert_imgdir.py reads this folder. ``norm_bb`` (n, 6) is x1, y1, x2, y2, w, h as
fractions of the image, whose size in pixels the file does not say: heed stores the fractions as boxes in an image of
width and height 1. ``soft_labels`` (n, 1601) are class probabilities with the background first. The key is the file's
path without ".npz".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.finite import all_finite
from features.regions import Regions
from pipeline.exchange.arrays import file_of, files, from_probabilities, need, regions, sized, table
from pipeline.exchange.npz import read_npz
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

NAMES = ("features", "norm_bb", "conf", "soft_labels")
NOTE = "boxes are fractions of the image (width and height are 1): the files do not hold image sizes"
CLASSES = 1600
"""Of the Visual Genome detector that the published files come from."""


def items(path: Path) -> Iterable[Item]:
    """Every .npz below the folder."""
    return files(path, ".npz")


def read(item: Item) -> Regions:
    """One file's regions; `HeedError` with the reason where it cannot be read."""
    return uniter_regions(read_npz(read_bytes(item), NAMES))


def uniter_regions(arrays: Mapping[str, np.ndarray], count: int | None = None) -> Regions:
    """Regions out of UNITER's arrays, the first ``count`` of them where given."""
    features, places = need(arrays, "features"), need(arrays, "norm_bb")
    if count is not None and count > len(features):
        raise HeedError(f"holds {len(features)} boxes where its nbb file counts {count}")
    if places.ndim != 2 or places.shape[1] < 4 or np.any(places[:, :4] < -0.01) or np.any(places[:, :4] > 1.01):
        raise HeedError(f"norm_bb of shape {places.shape} is not x1, y1, x2, y2, w, h as fractions of the image")
    n = len(places)
    columns: dict[str, Any] = {"classes": None, "class_scores": arrays.get("conf")}
    if "soft_labels" in arrays:
        columns["classes"], scores = from_probabilities(arrays["soft_labels"], n)
        columns["class_scores"] = arrays.get("conf", scores)
    read = regions(places[:, :4], features, 1, 1, **columns)
    if count is None or count == n:
        return read
    return Regions(read.boxes[:count], read.features[:count], read.classes[:count], read.class_scores[:count],
                   read.attributes[:count], read.attribute_scores[:count], 1, 1)


def uniter_arrays(row: Row, dtype: type) -> dict[str, np.ndarray]:
    """UNITER's arrays of one row. A store keeps no distribution over classes, so ``soft_labels`` holds the confidence
    at the row's class and the rest at background.
    """
    sized(row)
    n = len(row["boxes"])
    boxes = row["boxes"] / np.array([row["width"], row["height"]] * 2, np.float32)
    labels = np.zeros((n, 1 + CLASSES), np.float32)
    known = np.flatnonzero(row["classes"] >= 0)
    if n and row["classes"].max() >= CLASSES:
        raise HeedError(f"{row['key']!r} has class {row['classes'].max()}; UNITER's files hold classes 0 to "
                        f"{CLASSES - 1}.")
    labels[known, 1 + row["classes"][known]] = row["class_scores"][known]
    labels[:, 0] = 1 - labels.sum(axis=1)
    arrays = {
        "features": table(row["features"], n, "features", np.float32),
        "norm_bb": np.concatenate([boxes, boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float32),
        "conf": row["class_scores"], "soft_labels": labels,
    }
    with np.errstate(over="ignore"):
        arrays = {name: values.astype(dtype) for name, values in arrays.items()}
    if not all_finite(arrays["features"]):
        raise HeedError(f"{row['key']!r} has a feature too large for {np.dtype(dtype)}, which UNITER's LMDB holds.")
    return arrays


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the folder ``path``."""
    path.mkdir()
    for row in rows:
        np.savez(file_of(path, row["key"], ".npz"), **uniter_arrays(row, np.float32))  # type: ignore[arg-type]
