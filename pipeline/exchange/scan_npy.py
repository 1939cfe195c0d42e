"""SCAN's {split}_ims.npy: (images, regions, d) float32, with {split}_caps.txt and {split}_ids.txt beside it.

Source: kuanghueilee/SCAN, data.py. The file holds no boxes (SCAN issue 8)
and no image sizes: heed stores boxes of zeros in an image of 0 x 0, and the store's description says so. Image i has
the captions 5 i to 5 i + 4. Where the file has a row for each caption, the five equal rows of an image are one entry.
The key is the image's line in {split}_ids.txt, or its number from 0. A folder is all its splits in one store, with
keys SPLIT/KEY, as `pipeline.datasets.scan_precomp` joins the captions to them.

An item's offset is where the image's row begins in the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from features.restricted import npy_header
from pipeline.exchange.arrays import MAX_ENTRY, floats, regions
from pipeline.fields import Fields, Row
from pipeline.sources import Item

NOTE = "boxes are zeros in images of 0 x 0: the file holds features only"
SUFFIX = "_ims.npy"
CAPTIONS = 5
_HEADER = 1 << 16
"""Most bytes of an .npy that can be its header."""


def items(path: Path) -> Iterator[Item]:
    """One item an image, of a file or of every {split}_ims.npy of a folder."""
    if path.is_dir():
        files = sorted(path.glob(f"*{SUFFIX}"))
        if not files:
            raise HeedError(f"{path} holds no file that ends in {SUFFIX}.")
        for file in files:
            split = file.name.removesuffix(SUFFIX)
            for item in items(file):
                yield replace(item, key=f"{split}/{item.key}")
        return
    array = _mapped(path)
    row_bytes = array[0].nbytes if len(array) else 0
    keys, step = _keys(path, array)
    for number, key in enumerate(keys):
        yield Item(key, str(path), row_bytes, array.offset + number * step * row_bytes)


def caption_keys(path: Path, captions: int) -> list[str]:
    """The key of the image of each of the captions beside ``path``, a {split}_ims.npy that need not be there."""
    if path.exists():
        array = _mapped(path)
        keys, _ = _keys(path, array)
        return [keys[number // (captions // len(keys))] for number in range(captions)]
    ids = _lines(path, "_ids.txt")
    if captions % CAPTIONS or (ids is not None and len(ids) not in (captions, captions // CAPTIONS)):
        raise HeedError(f"{path.parent} has {captions} captions of split {path.name.removesuffix(SUFFIX)}, "
                        f"{'no' if ids is None else len(ids)} ids, and no features to tell which caption belongs to "
                        f"which image; SCAN has {CAPTIONS} captions an image.")
    images = [number // CAPTIONS for number in range(captions)]
    if ids is None:
        return [str(image) for image in images]
    return [ids[image * CAPTIONS if len(ids) == captions else image] for image in images]


def _keys(path: Path, array: np.ndarray) -> tuple[list[str], int]:
    """The images' keys, and how many equal rows each has."""
    rows = len(array)
    ids, captions = _lines(path, "_ids.txt"), _count(path, "_caps.txt")
    step = CAPTIONS if rows % CAPTIONS == 0 and captions == rows and _repeats(array) else 1
    if ids is not None and len(ids) not in (rows, rows // step):
        raise HeedError(f"{path} has {rows} rows and {len(ids)} ids; they do not belong together.")
    if captions is not None and captions not in (rows, CAPTIONS * rows):
        raise HeedError(f"{path} has {rows} rows and {captions} captions, which are neither one nor {CAPTIONS} a row; "
                        "they do not belong together.")
    places = range(0, rows // step * step, step)
    if ids is None:
        return [str(number) for number in range(len(places))], step
    return [ids[place if len(ids) == rows else place // step] for place in places], step


def _repeats(array: np.ndarray) -> bool:
    """Whether the first images fill five equal rows each."""
    return all(np.array_equal(array[0], array[k]) for k in range(1, min(CAPTIONS, len(array))))


def _beside(path: Path, ending: str) -> Path | None:
    file = path.with_name(path.name.removesuffix(SUFFIX) + ending)
    return file if path.name.endswith(SUFFIX) and file.exists() else None


def _lines(path: Path, ending: str) -> list[str] | None:
    file = _beside(path, ending)
    return None if file is None else file.read_text(encoding="utf-8", errors="replace").split()


def _count(path: Path, ending: str) -> int | None:
    file = _beside(path, ending)
    if file is None:
        return None
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _mapped(path: Path) -> np.memmap:
    stat = path.stat()
    return _map(path, os.getpid(), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _map(path: Path, *_: int) -> np.memmap:
    with path.open("rb") as file:
        head = file.read(_HEADER)
    try:
        shape, fortran, dtype, start = npy_header(head)
    except HeedError as error:
        raise HeedError(f"{path}: {error}.") from error
    row = math.prod(shape[1:]) * dtype.itemsize
    if len(shape) != 3 or dtype.kind != "f" or fortran or min(shape) < 0 or row > MAX_ENTRY:
        raise HeedError(f"{path} has shape {str(shape)[:60]} and type {dtype}; SCAN's file is (images, regions, d) "
                        "floats, one image after the other.")
    size = path.stat().st_size
    if start + shape[0] * row > size or not shape[0] * row:
        raise HeedError(f"{path} has {size} bytes where an array of shape {shape} needs {start + shape[0] * row}; it "
                        "is cut short, or empty. Download or copy it again.")
    return np.memmap(path, dtype, "r", start, shape)


def read(item: Item) -> Regions:
    """One image's regions, boxes of zeros."""
    array = _mapped(Path(item.uri))
    place, rest = divmod(item.offset - array.offset, max(item.size, 1))
    if rest or not 0 <= place < len(array):
        raise HeedError("is not where the file was listed to hold it")
    features = floats(np.array(array[place]))
    return regions(np.zeros((len(features), 4), np.float32), features, 0, 0)


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write ``path`` and the ids beside it. Every image must have as many regions as the first."""
    if not path.name.endswith(SUFFIX):
        raise HeedError(f"SCAN finds its features by their name: {path.name} must be a split's name and {SUFFIX}, "
                        f"train{SUFFIX} for example.")
    shape: tuple[int, ...] = (0, *fields["features"].inner)
    count = 0
    with path.open("wb") as file, path.with_name(path.name.removesuffix(SUFFIX) + "_ids.txt").open("w") as ids:
        for row in rows:
            features = np.ascontiguousarray(row["features"], "<f4")
            if not count:
                shape = features.shape
                _header(file, 0, shape)
            if features.shape != shape:
                raise HeedError(f"{row['key']!r} has {len(features)} regions where the first image has {shape[0]}; "
                                "SCAN's file holds the same number for every image.")
            if len(row["key"].split()) != 1:
                raise HeedError(f"The key {row['key']!r} cannot be a line of the ids.")
            file.write(features.tobytes())
            ids.write(row["key"] + "\n")
            count += 1
        file.seek(0)
        _header(file, count, shape)  # as long as the first: NumPy leaves room for the count to grow


def _header(file: object, count: int, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)})  # type: ignore[arg-type]
