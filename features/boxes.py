"""Box arithmetic: areas, overlaps, clipping, and the box encodings that the field's models read.

Boxes are (n, 4) x1, y1, x2, y2 in pixels, x2 and y2 exclusive, so a box's width is x2 - x1 (bottom-up attention's own
code counts inclusive pixels and adds one). The arithmetic takes numpy arrays or torch tensors and gives back the same
kind; the encodings take and give numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from features.errors import HeedError

Array = TypeVar("Array", bound=Any)
"""A numpy array or a torch tensor."""


def _library(array: Any) -> Any:
    """Numpy, or torch for a tensor: both name the operations used here alike."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def area(boxes: Array) -> Array:
    """Areas (n,) in square pixels of boxes (n, 4); 0 for an inverted one."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(-1)


def iou(first: Array, second: Array) -> Array:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4); 0 where both boxes are empty."""
    lib = _library(first)
    top_left = lib.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = lib.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (bottom_right - top_left).clip(min=0).prod(-1)
    union = area(first)[:, None] + area(second)[None, :] - shared
    return shared / lib.where(union > 0, union, lib.ones_like(union))


def clip(boxes: Array, width: float, height: float) -> Array:
    """Boxes (n, 4) cut at the borders of an image of ``width`` x ``height`` pixels; one outside it becomes empty."""
    lib = _library(boxes)
    return lib.stack([boxes[:, 0].clip(0, width), boxes[:, 1].clip(0, height),
                      boxes[:, 2].clip(0, width), boxes[:, 3].clip(0, height)], 1)


def check_given(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes that somebody supplies for an image, as (n, 4) float32 clipped to it; n may be 0.

    Published annotations often reach a few pixels past the border, so that is mended in silence. Raises `HeedError`
    for a wrong shape, NaN, or a box of which nothing lies inside the image: pooling features there means nothing.
    """
    given = np.asarray(boxes, np.float32)
    if given.size == 0:
        return given.reshape(0, 4)
    if given.ndim != 2 or given.shape[1] != 4:
        raise HeedError(f"given boxes must be rows of x1, y1, x2, y2, but have the shape {given.shape}")
    clipped = clip(given, width, height)
    bad = ~(np.isfinite(given).all(1) & (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1]))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise HeedError(f"given box {first} {given[first].tolist()} covers nothing of its image of {width} x {height} "
                        "pixels; boxes are x1, y1, x2, y2 in pixels of the upright image")
    return clipped


def encode_lxmert(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """(n, 4) float32: x1/W, y1/H, x2/W, y2/H, as LXMERT reads them (airsplay/lxmert, src/tasks/vqa_data.py)."""
    scale = np.array([width, height, width, height], np.float32)
    return np.asarray(boxes, np.float32).reshape(-1, 4) / scale


def encode_vilbert(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """(n, 5) float32: x1/W, y1/H, x2/W, y2/H and the share of the image's area.

    Used by ViLBERT (facebookresearch/vilbert-multi-task) and by VOLTA's controlled models. ViLBERT also prepends a
    region for the whole image, whose encoding is 0, 0, 1, 1, 1; that is the model's affair, not done here.
    """
    corners = encode_lxmert(boxes, width, height)
    return np.concatenate([corners, area(corners)[:, None]], 1)


def encode_uniter_stored(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """(n, 6) float32: x1/W, y1/H, x2/W, y2/H, w/W, h/H: ``norm_bb`` in UNITER's feature files (ChenRocks/UNITER)."""
    corners = encode_lxmert(boxes, width, height)
    return np.concatenate([corners, corners[:, 2:] - corners[:, :2]], 1)


def encode_uniter(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """(n, 7) float32: the stored six and (w/W)(h/H), which UNITER appends when it reads them (data/data.py)."""
    six = encode_uniter_stored(boxes, width, height)
    return np.concatenate([six, six[:, 4:5] * six[:, 5:6]], 1)


ENCODINGS: dict[int, Callable[[np.ndarray, float, float], np.ndarray]] = {
    4: encode_lxmert,
    5: encode_vilbert,
    6: encode_uniter_stored,
    7: encode_uniter,
}
"""Length of an encoding -> its function of (boxes in pixels, image width, image height)."""


def grid_of(boxes: np.ndarray) -> tuple[int, int] | None:
    """(rows, columns) where boxes (n, 4) are the cells of a grid, listed row by row; None where they are not.

    Cells are of one size and tile a rectangle, to a hundredth of their size. A single box is no grid.
    """
    boxes = np.asarray(boxes, np.float64)
    if len(boxes) < 2:
        return None
    width, height = boxes[0, 2:] - boxes[0, :2]
    if not (width > 0 and height > 0):
        return None
    columns = max(1, round((boxes[:, 2].max() - boxes[0, 0]) / width))
    rows, rest = divmod(len(boxes), columns)
    if rest:
        return None
    row, column = np.divmod(np.arange(len(boxes)), columns)
    x, y = boxes[0, 0] + column * width, boxes[0, 1] + row * height
    cells = np.stack([x, y, x + width, y + height], axis=1)
    near = np.abs(boxes - cells) <= 0.01 * np.array([width, height, width, height])
    return (rows, columns) if near.all() else None
