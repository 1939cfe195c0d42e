"""MAC's probability of the right answer as a function of the cells of its knowledge base that are left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.faithfulness import Probe
from training.models.mac import Mac


def mac_probe(
    model: Mac, features: Tensor, boxes: Tensor, mask: Tensor, tokens: Tensor, lengths: Tensor, right: Tensor,
    keys: Sequence[str],
) -> Probe:
    """A `Probe` of a batch as `Mac.forward` takes it, whose right answers are ``right`` (batch,) int64.

    A cell's attention is the read unit's, meant over the steps; the gradient is by its feature. A cell that is taken
    away is no key any more; a convolutional stem still sees it beside its neighbours.
    """
    places = right.unsqueeze(1)

    def probability(features: Tensor, left: Tensor) -> Tensor:
        return model(features, boxes, left, tokens, lengths).logits.softmax(1).gather(1, places)[:, 0]

    @torch.no_grad()
    def score_with(left: np.ndarray) -> np.ndarray:
        return probability(features, torch.from_numpy(left).to(mask.device)).double().cpu().numpy()

    with torch.no_grad():
        attention = model(features, boxes, mask, tokens, lengths).read[:, 0].mean(1)
    with torch.enable_grad():
        moved = features.detach().to(model.first_memory.dtype).requires_grad_()
        gradient, = torch.autograd.grad(probability(moved, mask).sum(), moved)
    product = (gradient * moved.detach()).sum(-1).masked_fill(~mask, 0)
    return Probe(np.array(keys), mask.sum(1).cpu().numpy(), attention.double().cpu().numpy(),
                 product.double().cpu().numpy(), score_with)
