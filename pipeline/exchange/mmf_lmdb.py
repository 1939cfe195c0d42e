"""MMF's LMDB of features: path -> pickled dictionary; ``keys`` -> pickled list of the paths.

Source: facebookresearch/mmf, tools/scripts/features/lmdb_conversion.py: feature_path, features (n, 2048), and, where
there was an _info.npy, image_height, image_width, num_boxes, objects, cls_prob, bbox, each None where the info had it
not. Features of OCR words are such: their boxes and images' sizes are in the imdb file, and the store has zeros.
Pickles are read by `features.restricted`. The key is the path as MMF writes it, "train/0004c9478eeda995".
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from features.restricted import dictionary, load
from pipeline.exchange.lmdb_file import open_lmdb, write_lmdb
from pipeline.exchange.mmf_npy import info_of, numbers, regions_of, without_boxes
from pipeline.exchange.vilbert_lmdb import KEYS
from pipeline.exchange.vilbert_lmdb import items as entries
from pipeline.fields import Fields, Row
from pipeline.sources import Item

NOTE = "boxes are zeros in images of 0 x 0 where an entry had none"


def items(path: Path) -> Iterator[Item]:
    """Every entry, and every path of ``keys`` that has none (reading it then fails, so that it is counted)."""
    return entries(path)


def read(item: Item) -> Regions:
    """One entry's regions; `HeedError` with the reason where it cannot be read."""
    data = open_lmdb(item.uri).get(item.key.encode())
    if data is None:
        raise HeedError("is listed in keys and is not in the database")
    info = {name: value for name, value in dictionary(load(data)).items() if value is not None}
    features = numbers(info, "features")
    return regions_of(features, info, background=False) if "bbox" in info else without_boxes(features)


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the database ``path``: an entry a row, with boxes and classes where its image has a size.

    A store keeps no distribution over classes, so ``cls_prob`` holds the confidence at the row's class and 0 elsewhere.
    """
    keys: list[bytes] = []

    def written() -> Iterator[tuple[bytes, bytes]]:
        for row in rows:
            keys.append(row["key"].encode())
            entry = {"feature_path": row["key"], "features": np.asarray(row["features"], np.float32)}
            if row["width"] and row["height"]:
                entry |= info_of(row)
            yield keys[-1], pickle.dumps(entry, protocol=4)
        yield KEYS, pickle.dumps(keys, protocol=4)

    write_lmdb(path, written())
