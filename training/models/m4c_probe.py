"""M4C's probability of the right answer as a function of the regions and OCR words that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from training.faithfulness import Probe
from training.models.m4c import M4c
from training.models.m4c_inputs import M4cInputs


def m4c_probe(
    model: M4c, inputs: M4cInputs, previous: Tensor, right: Tensor, counted: Tensor, keys: Sequence[str]
) -> Probe:
    """A `Probe` of a batch as `M4c.encode` takes it, whose keys are an image's regions and then its OCR words.

    ``previous`` (batch, steps) int64 is what was said before each step of a true answer, ``right`` (batch, steps,
    answers + words) bool are the entries that are right there, ``counted`` (batch, steps) bool the steps there are. The
    score is the softmax's mass on the right entries, multiplied over the steps. Attention is the last layer's, the mean
    of its heads, summed over the steps; the gradient is by what goes into the transformer. A word that is taken away
    can be copied no more.
    """
    pieces, regions = inputs.tokens.shape[1], inputs.object_mask.shape[1]
    mask = torch.cat([inputs.object_mask, inputs.word_mask], 1)
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)  # a sample's own keys first
    counts = mask.sum(1)
    longest = int(counts.max())

    def probability(embedded: tuple[Tensor, Tensor, Tensor], left: Tensor) -> Tensor:
        some = replace(inputs, object_mask=left[:, :regions], word_mask=left[:, regions:])
        scores = model.decode(model.encode(some, embedded), previous).scores
        mass = (scores.softmax(-1) * right).sum(-1)
        return torch.where(counted, mass, 1).prod(1)

    with torch.no_grad():
        whole = model.embed(inputs)
        seen = model.decode(model.encode(inputs, whole), previous, weights=True).attention[-1].mean(1)
        attention = (seen * counted.unsqueeze(-1)).sum(1)[:, pieces : pieces + mask.shape[1]]

    @torch.no_grad()
    def score_with(left: np.ndarray) -> np.ndarray:
        kept = torch.zeros_like(mask).scatter(1, order[:, :longest], torch.from_numpy(left).to(mask.device))
        return probability(whole, kept & mask).double().cpu().numpy()

    with torch.enable_grad():
        text, *moved = (part.detach().requires_grad_() for part in whole)
        gradients = torch.autograd.grad(probability((text, moved[0], moved[1]), mask).sum(), moved)
    product = torch.cat([(gradient * part.detach()).sum(-1) for gradient, part in zip(gradients, moved, strict=True)],
                        1).masked_fill(~mask, 0)

    def packed(values: Tensor) -> np.ndarray:
        return values.masked_fill(~mask, 0).gather(1, order[:, :longest]).double().cpu().numpy()

    return Probe(np.array(keys), counts.cpu().numpy(), packed(attention), packed(product), score_with)
