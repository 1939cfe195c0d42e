"""MMF's folder of .npy files: ID.npy (n, 2048) features and ID_info.npy, a pickled dictionary.

Source: facebookresearch/mmf, tools/scripts/features/extract_features_vmb.py: bbox (n, 4)
xyxy pixels, num_boxes, objects (n,) class ids, cls_prob (n, classes) without background, image_width, image_height. All
n rows are stored: num_boxes counts those above the detector's threshold. A file that is itself such a dictionary, with
``features`` in it, is ViLBERT's; there cls_prob has the background first. Features without an info file are stored with
boxes of zeros in an image of 0 x 0, and so are those of OCR words (projects/m4c/scripts/extract_ocr_frcn_feature.py:
ocr_boxes, ocr_tokens), whose info does not say the image's size. The key is the file's path without ".npy".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from features.restricted import dictionary, read_npy
from pipeline.exchange.arrays import file_of, files, from_probabilities, need, regions, table, whole
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

NOTE = "boxes are zeros in images of 0 x 0 where a file had no _info.npy, or one of OCR words"
INFO = "_info"
CLASSES = 1600
"""Of the Visual Genome detector that the published files come from."""


def items(path: Path) -> Iterator[Item]:
    """Every .npy below the folder, save the info files of others; an info file alone is listed, and fails."""
    for item in files(path, ".npy"):
        partner = item.uri.removesuffix(f"{INFO}.npy") + ".npy"
        if not item.key.endswith(INFO) or not Path(partner).exists():
            yield item


def read(item: Item) -> Regions:
    """One image's regions; `HeedError` with the reason where they cannot be read."""
    content = read_npy(read_bytes(item), objects=True)
    if content.dtype.kind == "O":
        info = dictionary(content)
        if "features" not in info:
            raise HeedError("is an info file whose features are not beside it")
        return regions_of(numbers(info, "features"), info, background=True)
    path = Path(item.uri.removesuffix(".npy") + f"{INFO}.npy")
    if path.exists():
        return regions_of(content, dictionary(read_npy(path.read_bytes(), objects=True)), background=False)
    return without_boxes(content)


def without_boxes(features: np.ndarray) -> Regions:
    """Regions of which only the features (n, d) are known."""
    if features.ndim != 2:
        raise HeedError(f"features have shape {features.shape} where (n, d) is expected")
    return regions(np.zeros((len(features), 4), np.float32), features, 0, 0)


def regions_of(features: np.ndarray, info: dict[str, Any], background: bool) -> Regions:
    """Regions out of features (n, d) and what the info file says of them; ``background``: cls_prob has it first."""
    n = len(features) if features.ndim else 0
    if "ocr_boxes" in info:  # of words; the imdb file has their boxes with their image's size, which this one has not
        return without_boxes(features)
    boxes = numbers(info, "bbox")
    classes = numbers(info, "objects") if "objects" in info else None
    scores = None
    if "cls_prob" in info:
        probabilities = table(numbers(info, "cls_prob"), n, "cls_prob", np.float32)
        if classes is None:
            column = probabilities if background else np.pad(probabilities, ((0, 0), (1, 0)))
            classes, scores = from_probabilities(column, n)
        else:
            scores = probabilities[:, int(background):].max(axis=1, initial=0)
    return regions(table(boxes, n, "bbox", np.float32, 4), features, whole(need(info, "image_width"), "image_width"),
                   whole(need(info, "image_height"), "image_height"), classes, scores)


def numbers(info: dict[str, Any], name: str) -> np.ndarray:
    """The array called ``name``; `HeedError` where it is something else, or not there."""
    value = need(info, name)
    if not isinstance(value, np.ndarray) or value.dtype.kind == "O":
        raise HeedError(f"{name} is {type(value).__name__}, not an array of numbers")
    return value


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the folder ``path``: ID.npy for each row, and ID_info.npy where its image has a size.

    A store keeps no distribution over classes, so ``cls_prob`` holds the confidence at the row's class and 0 elsewhere.
    """
    path.mkdir()
    for row in rows:
        if row["key"].endswith(INFO):
            raise HeedError(f"The key {row['key']!r} ends as the names of MMF's info files do.")
        file = file_of(path, row["key"], ".npy")
        np.save(file, np.asarray(row["features"], np.float32), allow_pickle=False)
        if row["width"] and row["height"]:
            np.save(file.with_name(file.name.removesuffix(".npy") + f"{INFO}.npy"), np.array(info_of(row), object))


def info_of(row: Row) -> dict[str, Any]:
    """What an info file says of a row; `HeedError` for a class beyond the detector's."""
    n = len(row["boxes"])
    if n and row["classes"].max() >= CLASSES:
        raise HeedError(f"{row['key']!r} has class {row['classes'].max()}; MMF's files hold classes 0 to "
                        f"{CLASSES - 1}.")
    probabilities = np.zeros((n, CLASSES), np.float32)
    known = np.flatnonzero(row["classes"] >= 0)
    probabilities[known, row["classes"][known]] = row["class_scores"][known]
    return {"bbox": np.array(row["boxes"]), "num_boxes": n, "objects": np.asarray(row["classes"], np.int64),
            "cls_prob": probabilities, "image_width": int(row["width"]), "image_height": int(row["height"])}
