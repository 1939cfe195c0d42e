"""Inputs of a small M4C that follow from a seed: two programs have the same without sharing a file."""

from __future__ import annotations

import numpy as np
import torch

from training.models.m4c_inputs import M4cInputs

SIZES = {"hidden": 24, "heads": 3, "feedforward": 40, "pointer": 20, "text_hidden": 16, "pieces": 40, "answers": 13,
         "objects": 8, "words": 904, "fasttext": 300, "steps": 5, "slots": 50}
"""Of the goldens; published code fixes the 300 + 604 features of a word and its 50 slots."""


def inputs(seed: int = 5, slots: int = SIZES["slots"]) -> tuple[M4cInputs, torch.Tensor]:
    """Three questions, padded; and the words said before each of five steps, copied ones among them."""
    rng = np.random.default_rng(seed)
    pieces, regions, words = np.array([6, 4, 5]), np.array([3, 5, 4]), np.array([4, 7, 2])

    def floats(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(0, 2, shape).astype(np.float32))

    def mask(lengths: np.ndarray, longest: int) -> torch.Tensor:
        return torch.from_numpy(np.arange(longest) < lengths[:, None])

    n = len(pieces)
    tokens = torch.from_numpy(rng.integers(1, SIZES["pieces"], (n, 6))) * mask(pieces, 6)
    letters = SIZES["words"] - SIZES["fasttext"]
    found = M4cInputs(
        tokens, mask(pieces, 6), floats(n, 5, SIZES["objects"]), floats(n, 5, 4) / 2, mask(regions, 5),
        (floats(n, slots, SIZES["fasttext"]), floats(n, slots, letters)), floats(n, slots, SIZES["objects"]), None,
        floats(n, slots, 4) / 2, mask(words, slots))
    previous = torch.tensor([[1, 4, 15, 2, 0], [1, 19, 13, 2, 0], [1, 14, 3, 12, 2]])
    return found, previous
