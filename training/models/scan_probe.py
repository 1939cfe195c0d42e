"""SCAN's similarity of true pairs as a function of the keys that are left: regions in t2i, words in i2t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.faithfulness import Probe
from training.models.scan import Scan


def scan_probe(
    model: Scan, images: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor, keys: Sequence[str]
) -> Probe:
    """A `Probe` of aligned pairs, caption i with image i, whose image has the key ``keys[i]``.

    Takes embeddings and masks as `Scan.attention` does. A key's attention is its mean weight over the queries.
    """
    on_regions = model.config.direction == "t2i"
    images, words = images.detach(), words.detach()
    key, mask = (images, region_mask) if on_regions else (words, word_mask)

    def similarity(key: Tensor, left: Tensor) -> Tensor:
        if on_regions:
            return model.matched(key, left, words, word_mask)
        return model.matched(images, region_mask, key, left)

    @torch.no_grad()
    def score_with(left: np.ndarray) -> np.ndarray:
        return similarity(key, torch.from_numpy(left).to(key.device)).double().cpu().numpy()

    with torch.no_grad():
        weights = model.attention(images, region_mask, words, word_mask)
    attention = weights.sum(1 if on_regions else 2)
    with torch.enable_grad():
        moved = key.clone().requires_grad_()
        gradient, = torch.autograd.grad(similarity(moved, mask).sum(), moved)
    product = (gradient * key).sum(-1).masked_fill(~mask, 0)
    return Probe(np.array(keys), mask.sum(1).cpu().numpy(), attention.double().cpu().numpy(),
                 product.double().cpu().numpy(), score_with)
