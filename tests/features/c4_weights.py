"""Random weights with signal, by name and shape: the same numbers wherever a golden is made or checked."""

import zlib

import numpy as np
import torch


def random_tensors(shapes, seed, damp=1.0):
    """A tensor for each (name, shape), such that scores differ, boxes move and nothing fades or explodes.

    ``damp`` scales what a residual block adds: deeper networks need less.
    """
    made = {}
    for name, shape in sorted(shapes.items()):
        # RandomState's streams are frozen for good; each name has a stream of its own.
        stream = np.random.RandomState(zlib.crc32(name.encode()) ^ seed)
        made[name] = torch.from_numpy(_values(name, tuple(shape), stream))
        if name.endswith("conv3.weight"):
            made[name] *= damp
    return made


def _values(name, shape, rng):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if "norm" in name or "_bn" in name:
        least, most = (0.15, 0.55) if "conv3" in name or "shortcut" in name else (0.7, 1.3)
        values = rng.uniform(least, most, shape) if name.endswith("weight") else rng.normal(0, 0.2, shape)
        return values.astype(np.float32)
    if name.endswith("bias"):
        return rng.normal(0, 0.1, shape).astype(np.float32)
    fan = int(np.prod(shape[1:])) or 1
    scale = np.sqrt(2 / fan)
    if name.endswith("stem.conv1.weight"):
        scale /= 60  # pixels are some tens
    for part, factor in (("cls_score", 14.0), ("bbox_pred", 1.0), ("anchor_deltas", 0.3), ("objectness", 0.5),
                         ("attr_linear2", 3.0), ("attr_score", 3.0), ("embed", 1.0)):
        if part in name:
            scale *= factor
    return rng.normal(0, scale, shape).astype(np.float32)


def random_photo(height, width, seed):
    """A picture (height, width, 3) uint8 with structure at several scales."""
    rng = np.random.RandomState(seed)
    down, across = np.mgrid[0:height, 0:width]
    picture = np.zeros((height, width, 3))
    for _ in range(12):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.05, 0.4) * min(height, width)
        blob = np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * size**2))
        picture += blob[:, :, None] * rng.uniform(-160, 200, 3)
    picture += rng.normal(0, 12, picture.shape)
    return np.clip(picture + 110, 0, 255).astype(np.uint8)
