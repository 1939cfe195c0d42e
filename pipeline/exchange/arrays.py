"""What the formats have in common: arrays out of files into one entry's content, checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from pipeline.sources import Item, printable

MAX_ENTRY = 1 << 30
"""Most bytes of one entry: a film of four hours at five frames a second, 768 float32 each, is 0.2 GB."""


def regions(
    boxes: np.ndarray,
    features: np.ndarray,
    width: int,
    height: int,
    classes: np.ndarray | None = None,
    class_scores: np.ndarray | None = None,
    attributes: np.ndarray | None = None,
    attribute_scores: np.ndarray | None = None,
) -> Regions:
    """Regions in heed's number types out of what a file holds; ids it lacks become -1, confidences 0.

    Attributes may be (n,) where a file has one kind. Raises `HeedError` where an array has another length than boxes.
    """
    n = len(boxes)
    if features.ndim != 2 or len(features) != n:
        raise HeedError(f"features have shape {features.shape} where there are {n} boxes")
    ids = np.full(n, -1, np.int32) if classes is None else vector(classes, n, "classes", np.int32)
    scores = np.zeros(n, np.float32) if class_scores is None else vector(class_scores, n, "class scores", np.float32)
    kinds = np.zeros((n, 0), np.int32) if attributes is None else table(attributes, n, "attributes", np.int32)
    found = np.zeros(kinds.shape, np.float32)
    if attribute_scores is not None and attributes is not None:
        found = table(attribute_scores, n, "attribute scores", np.float32)
    return Regions(
        boxes=table(boxes, n, "boxes", np.float32, 4), features=floats(features), classes=ids, class_scores=scores,
        attributes=kinds, attribute_scores=found, width=width, height=height,
    )


def floats(values: np.ndarray) -> np.ndarray:
    """float16 as it is, every other number type as float32."""
    if values.dtype.kind not in "fiu":
        raise HeedError(f"features are of type {values.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return values if values.dtype == np.float16 else values.astype(np.float32)


def table(values: np.ndarray, n: int, name: str, dtype: type, width: int | None = None) -> np.ndarray:
    """(n, width) or flat values as (n, width) of ``dtype``; `HeedError` where they are not n rows of that width."""
    flat = values.ndim == 1 and _divides(values, n)
    rows = values.reshape(n, values.size // n if n else width or 0) if flat else values
    if rows.ndim != 2 or len(rows) != n or values.dtype.kind not in "fiub" or (width and rows.shape[1] != width):
        raise HeedError(f"{name} has shape {values.shape} and type {values.dtype}, which is not {n} rows of "
                        f"{width or 'some'} numbers")
    return _cast(rows, dtype)


def _divides(values: np.ndarray, n: int) -> bool:
    return values.size % n == 0 if n else not values.size


def vector(values: np.ndarray, n: int, name: str, dtype: type) -> np.ndarray:
    """n values of ``dtype``; `HeedError` where there are more or fewer."""
    if values.size != n or values.dtype.kind not in "fiub":
        raise HeedError(f"{name} has shape {values.shape} and type {values.dtype}, which is not {n} numbers")
    return _cast(values.reshape(n), dtype)


def _cast(values: np.ndarray, dtype: type) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(dtype)


def whole(value: Any, name: str) -> int:
    """A whole number of 0 to 10 million, written as a number, as text or as an array of one."""
    try:
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        number = int(value)
        if not 0 <= number <= 10_000_000 or (not isinstance(value, str | bytes) and number != value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise HeedError(f"{name} is {str(value)[:20]!r}, not a whole number of 0 to 10 million") from None
    return number


def need(values: Mapping[str, Any], name: str) -> Any:
    """The value called ``name``; `HeedError` where the entry has none."""
    if name not in values:
        raise HeedError(f"has no {name}" + (f" (it has {', '.join(sorted(values))[:200]})" if values else ""))
    return values[name]


def from_probabilities(probabilities: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Class ids and confidences out of (n, 1 + classes) probabilities whose first column is background.

    A row that is all background has class -1.
    """
    table_ = table(probabilities, n, "class probabilities", np.float32)[:, 1:]
    if not table_.shape[1]:
        return np.full(n, -1, np.int32), np.zeros(n, np.float32)
    best = table_.max(axis=1)
    return np.where(best > 0, table_.argmax(axis=1), -1).astype(np.int32), best


def files(root: Path, suffix: str) -> Iterator[Item]:
    """Every file below ``root`` that ends in ``suffix``, as an item whose key is its path without the suffix."""
    if not root.is_dir():
        raise HeedError(f"{root} is no folder; this format is a folder of {suffix} files.")
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(suffix) and path.is_file():
                key = printable(path.relative_to(root).as_posix().removesuffix(suffix))
                yield Item(key, str(path), path.stat().st_size)


def file_of(root: Path, key: str, suffix: str) -> Path:
    """Where a folder of files holds ``key``; makes its folder. `HeedError` where the key would leave the folder."""
    name = PurePosixPath(key)
    if name.is_absolute() or any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
        raise HeedError(f"The key {key!r} cannot be a file's name below {root.name}.")
    path = root / f"{key}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sized(row: Mapping[str, Any]) -> None:
    """`HeedError` where a row's image has no size, which formats that place boxes in images need."""
    if not row["width"] or not row["height"]:
        raise HeedError(f"{row['key']!r} has no image size (it came from a format without boxes), so its boxes cannot "
                        "be written; scan-npy, h5 and parquet can hold it.")
