"""How well DAMSM finds a painted picture to fit its sentence, as a function of the words that could be attended to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from training.faithfulness import Probe
from training.models.attngan.encoders import Encoders
from training.models.attngan.generator import Generator


def generator_probe(
    generator: Generator, encoders: Encoders, noise: Tensor, epsilon: Tensor, words: Tensor, sentences: Tensor,
    mask: Tensor, keys: Sequence[str],
) -> Probe:
    """A `Probe` of captions as `Generator.forward` takes them, whose keys are their words.

    The score is the cosine of the last stage's picture and its sentence, as R-precision takes it. A word that is taken
    away is attended to no more; the sentence, from which the first stage paints, stays whole, and so does the noise. A
    word's attention is the mean over places, summed over the refining stages; the gradient is by its embedding.
    """

    def fit(words: Tensor, left: Tensor) -> Tensor:
        painted = generator(noise, sentences, words, left, epsilon=epsilon)
        return cosine_similarity(encoders.see(painted.pictures[-1])[1].float(), sentences.float())

    @torch.no_grad()
    def score_with(left: np.ndarray) -> np.ndarray:
        return fit(words, torch.from_numpy(left).to(mask.device)).double().cpu().numpy()

    with torch.no_grad():
        seen = generator(noise, sentences, words, mask, True, epsilon).attention
    attention = torch.stack([weights[:, 0].mean(1) for weights in seen if weights is not None]).sum(0)
    with torch.enable_grad():
        moved = words.detach().clone().requires_grad_()
        gradient, = torch.autograd.grad(fit(moved, mask).sum(), moved)
    product = (gradient * words).sum(-1).masked_fill(~mask, 0)
    return Probe(np.array(keys), mask.sum(1).cpu().numpy(), attention.double().cpu().numpy(),
                 product.double().cpu().numpy(), score_with)
