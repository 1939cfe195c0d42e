"""CLEVR's grid features: one dataset ``features`` (images, channels, rows, columns) float32, an image a row.

Source: MAC's extract_features.py (stanfordnlp/mac-network): ResNet-101 up to layer3 on images of 224 x 224, so
(N, 1024, 14, 14); row i is image i, the files sorted by the number at their name's end. A row becomes the regions that
are the grid's cells, row by row, with boxes in CLEVR's images of 480 x 320. The key is the image's file name,
CLEVR_SPLIT_000042.png, where the file's own name says the split (train.h5, val.h5, test.h5, features_val.h5), else the
number. Rows are read one at a time: the training file has 56 GB.

An item's offset is the row's number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from features.boxes import grid_of
from features.errors import HeedError
from features.regions import Regions
from pipeline.datasets.clevr import HEIGHT, WIDTH
from pipeline.exchange.arrays import floats, regions
from pipeline.exchange.hdf5_file import check_dataset, child, h5py, open_h5, told
from pipeline.fields import Fields, Row
from pipeline.sources import Item

NOTE = "regions are the cells of a grid, row by row, in images of 480 x 320"
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?=[^a-z]|$)")
_KEY = re.compile(r"(?:CLEVR_(?:train|val|test)_)?0*(\d+)(?:\.png)?")
_MOST_CELLS = 1 << 16


def items(path: Path) -> Iterator[Item]:
    """One item an image."""
    dataset = _dataset(path)
    split = _SPLIT.search(path.stem.lower())
    size = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    for number in range(len(dataset)):
        yield Item(f"CLEVR_{split[1]}_{number:06d}.png" if split else str(number), str(path), size, number)


def read(item: Item) -> Regions:
    """One image's cells."""
    dataset = _dataset(Path(item.uri))
    if not 0 <= item.offset < len(dataset):
        raise HeedError("is not where the file was listed to hold it")
    with told():
        grid = floats(dataset[item.offset])
    channels, rows, columns = grid.shape
    return regions(cell_boxes(rows, columns), np.ascontiguousarray(grid.reshape(channels, -1).T), WIDTH, HEIGHT)


@lru_cache(maxsize=8)
def cell_boxes(rows: int, columns: int) -> np.ndarray:
    """Boxes (rows x columns, 4) float32 of the cells of a grid over the whole image, row by row."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    boxes = np.stack([column, row, column + 1, row + 1], 1) / [columns, rows, columns, rows]
    return (boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32)


def _dataset(path: Path) -> Any:
    file = open_h5(path)
    with told(f"{path} is damaged"):
        if "features" not in file:
            raise HeedError(f"{path} has no dataset called features; MAC's file of CLEVR's features has one.")
        dataset = child(file, "features")
        check_dataset(dataset, "features")
        shape: tuple[int, ...] = getattr(dataset, "shape", None) or ()
        if len(shape) != 4 or dataset.dtype.kind != "f" or 0 in shape[1:] or shape[2] * shape[3] > _MOST_CELLS:
            raise HeedError(f"{path}: features have shape {str(shape)[:60]} and type {getattr(dataset, 'dtype', '?')}, "
                            "not (images, channels, rows, columns) floats.")
        return dataset


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``; rows must be grids of one size, keyed by CLEVR's file names or numbers from 0 up."""
    with h5py().File(path, "w") as file:
        dataset = None
        for number, row in enumerate(rows):
            match = _KEY.fullmatch(row["key"])
            if match is None or int(match[1]) != number:
                raise HeedError(f"The key {row['key']!r} in place {number} is not that image's number, by which "
                                "CLEVR's file keeps its rows.")
            grid = grid_of(np.asarray(row["boxes"]))
            if grid is None:
                raise HeedError(f"The regions of {row['key']!r} are not the cells of a grid.")
            cells = np.asarray(row["features"], np.float32)
            values = cells.T.reshape(cells.shape[1], *grid)
            if dataset is None:
                dataset = file.create_dataset("features", (0, *values.shape), "f4", maxshape=(None, *values.shape),
                                              chunks=(1, *values.shape))
            if values.shape != dataset.shape[1:]:
                raise HeedError(f"{row['key']!r} is a grid of {grid} where the first image's is {dataset.shape[2:]}.")
            dataset.resize(number + 1, axis=0)
            dataset[number] = values
