"""ViLBERT's, VOLTA's and M4C's LMDB: image id -> pickled dictionary; ``keys`` -> pickled list of the ids.

Sources: facebookresearch/vilbert-multi-task, script/convert_to_lmdb.py: arrays image_id, image_h, image_w, num_boxes,
boxes, features; jiasenlu/vilbert_beta and e-bug/volta, data/*/convert_*_lmdb.py: a TSV's rows as text, numbers in
base64, with VOLTA's names img_h, img_w, objects_id, …; volta, features_extraction/h5_to_lmdb.py: arrays under the names
of its HDF5 (obj_id, …); M4C: features flat, (n * 2048,). Boxes are xyxy
pixels. Pickles are read by `features.restricted`. Where only ``cls_prob`` tells the classes, its first column
is background.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from features.restricted import dictionary, load, text
from pipeline.exchange.arrays import floats, from_probabilities, need, regions, sized, table, whole
from pipeline.exchange.lmdb_file import open_lmdb, write_lmdb
from pipeline.exchange.tsv import array
from pipeline.fields import Fields, Row
from pipeline.sources import Item

KEYS = b"keys"
NAMES = {
    "image_h": "height", "img_h": "height", "image_w": "width", "img_w": "width", "num_boxes": "count",
    "boxes": "boxes", "features": "features", "cls_prob": "cls_prob",
    "objects_id": "classes", "obj_id": "classes", "objects": "classes",
    "objects_conf": "class_scores", "obj_conf": "class_scores",
    "attrs_id": "attributes", "attr_id": "attributes", "attrs_conf": "attribute_scores",
    "attr_conf": "attribute_scores",
}
"""What the writers call things -> what this reader does."""


def items(path: Path) -> Iterator[Item]:
    """Every entry, and every id of ``keys`` that has none (reading it then fails, so that it is counted)."""
    database = open_lmdb(path)
    for key, size in database.items():
        if key != KEYS:
            yield Item(key.decode("utf-8", "backslashreplace"), str(path), size)
    listed = database.get(KEYS)
    try:
        names = [] if listed is None else load(listed)
    except HeedError as error:
        raise HeedError(f"{path}: the entry 'keys' cannot be read: {error}.") from error
    for name in names if isinstance(names, list | tuple) else []:
        key = text(name, "an id").encode()
        if database.get(key) is None:
            yield Item(key.decode(), str(path), 0)


def read(item: Item) -> Regions:
    """One entry's regions; `HeedError` with the reason where it cannot be read."""
    data = open_lmdb(item.uri).get(item.key.encode())
    if data is None:
        raise HeedError("is listed in keys and is not in the database")
    values = {NAMES[name]: value for name, value in dictionary(load(data)).items() if name in NAMES}
    width, height = whole(need(values, "width"), "image_w"), whole(need(values, "height"), "image_h")
    n = whole(values["count"], "num_boxes") if "count" in values else None
    boxes = _numbers(need(values, "boxes"), "boxes", "<f4", n)
    n = boxes.size // 4 if n is None else n
    if boxes.size != 4 * n:
        raise HeedError(f"boxes hold {boxes.size} numbers where {n} boxes need {4 * n}")
    features = table(floats(_numbers(need(values, "features"), "features", "<f4", n)), n, "features", np.float32)
    found: dict[str, Any] = {
        name: _numbers(values[name], name, "<f4" if name.endswith("scores") else "<i8", n)
        for name in ("classes", "class_scores", "attributes", "attribute_scores")
        if name in values and not _empty(values[name])
    }
    if "classes" not in found and "cls_prob" in values and not _empty(values["cls_prob"]):
        found["classes"], found["class_scores"] = from_probabilities(
            _numbers(values["cls_prob"], "cls_prob", "<f4", n), n)
    return regions(boxes.reshape(n, 4), features, width, height, **found)


def _empty(value: Any) -> bool:
    """A column that a TSV's writer left empty."""
    return value is None or (isinstance(value, str | bytes) and not value)


def _numbers(value: Any, name: str, dtype: str, n: int | None) -> np.ndarray:
    """An array, or base64 of one."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, str | bytes):
        raise HeedError(f"{name} is {type(value).__name__}, neither an array nor base64")
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return array(data, dtype, 1 if n is None else n, name)


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the database ``path`` with arrays, as vilbert-multi-task does, and the names of VOLTA beside them."""
    keys: list[bytes] = []

    def entries() -> Iterator[tuple[bytes, bytes]]:
        for row in rows:
            sized(row)
            keys.append(row["key"].encode())
            entry = {
                "image_id": row["key"], "image_h": int(row["height"]), "image_w": int(row["width"]),
                "num_boxes": len(row["boxes"]), "boxes": np.asarray(row["boxes"], np.float32),
                "features": np.asarray(row["features"], np.float32),
                "objects_id": np.asarray(row["classes"], np.int64),
                "objects_conf": np.asarray(row["class_scores"], np.float32),
            }
            if "attributes" in row:
                entry["attrs_id"] = np.asarray(row["attributes"], np.int64)[:, 0]
                entry["attrs_conf"] = np.asarray(row["attribute_scores"], np.float32)[:, 0]
            yield keys[-1], pickle.dumps(entry, protocol=4)
        yield KEYS, pickle.dumps(keys, protocol=4)

    write_lmdb(path, entries())
