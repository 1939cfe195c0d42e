"""VOLTA's HDF5: a group an image with features, boxes, obj_id, obj_conf, attr_id, attr_conf, img_w, img_h.

Source: e-bug/volta, features_extraction/large_tsv_to_h5.py: ids int64, confidences, boxes (xyxy
pixels) and features float32, sizes as 0-d datasets; files with the sizes as attributes are read as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from features.regions import Regions
from pipeline.exchange.arrays import need, regions, sized, whole
from pipeline.exchange.hdf5_file import entry, group_for, h5py, is_group_of_datasets, numbers, walk
from pipeline.fields import Fields, Row
from pipeline.sources import Item

NAMES = ("features", "boxes", "obj_id", "obj_conf", "attr_id", "attr_conf", "img_w", "img_h")


def items(path: Path) -> Iterable[Item]:
    """Every group of datasets."""
    return walk(path, is_group_of_datasets)


def read(item: Item) -> Regions:
    """One group's regions; `HeedError` with the reason where it cannot be read."""
    group = entry(item)
    values = {name: array for name in NAMES if (array := numbers(group, name)) is not None}
    return regions(
        need(values, "boxes"), need(values, "features"), whole(need(values, "img_w"), "img_w"),
        whole(need(values, "img_h"), "img_h"), values.get("obj_id"), values.get("obj_conf"),
        values.get("attr_id"), values.get("attr_conf"),
    )


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``."""
    with h5py().File(path, "w") as file:
        for row in rows:
            sized(row)
            group = group_for(file, row["key"])
            group["features"] = np.asarray(row["features"], np.float32)
            group["boxes"] = np.asarray(row["boxes"], np.float32)
            group["obj_id"] = np.asarray(row["classes"], np.int64)
            group["obj_conf"] = np.asarray(row["class_scores"], np.float32)
            if "attributes" in row:
                group["attr_id"] = np.asarray(row["attributes"], np.int64)[:, 0]
                group["attr_conf"] = np.asarray(row["attribute_scores"], np.float32)[:, 0]
            group["img_w"], group["img_h"] = int(row["width"]), int(row["height"])
