"""Weights and inputs that follow from names and a seed: two programs have the same without sharing a file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from evaluation.subjects.subject import Batch


def weights(shapes: Mapping[str, Sequence[int]], seed: int = 7, scale: float = 0.4) -> dict[str, torch.Tensor]:
    """Uniform in -scale..scale from (seed, crc32 of the name); a LayerNorm's gain is that plus 1."""
    found = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        gain = "norm" in name.lower() and name.endswith(("weight", "gamma"))
        values = rng.uniform(-scale, scale, tuple(shape)) + (1.0 if gain else 0.0)
        found[name] = torch.from_numpy(values.astype(np.float32))
    return found


def batch(dim: int, vocabulary: int, seed: int = 3, lengths: Sequence[int] = (6, 4, 5),
          regions: Sequence[int] = (3, 5, 4)) -> Batch:
    """Texts of ``lengths`` with images of ``regions``, padded; ids above 103 and below ``vocabulary``."""
    rng = np.random.default_rng(seed)
    n, most_words, most_regions = len(lengths), max(lengths), max(regions)
    words = rng.integers(104, vocabulary, (n, most_words))
    words[:, 0] = 101
    word_mask = np.arange(most_words) < np.array(lengths)[:, None]
    words[np.arange(n), np.array(lengths) - 1] = 102
    words[~word_mask] = 0
    region_mask = np.arange(most_regions) < np.array(regions)[:, None]
    features = rng.uniform(0, 2, (n, most_regions, dim)) * region_mask[..., None]
    sizes = rng.integers(100, 400, (n, 2)).astype(np.float32)
    corners = np.sort(rng.uniform(0, 1, (n, most_regions, 2, 2)), 2).reshape(n, most_regions, 4)
    boxes = corners * np.concatenate([sizes, sizes], 1)[:, None] * region_mask[..., None]
    return Batch(torch.from_numpy(words), torch.from_numpy(word_mask), torch.from_numpy(features.astype(np.float32)),
                 torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy(sizes), torch.from_numpy(region_mask))
