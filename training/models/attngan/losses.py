"""The adversarial losses of AttnGAN (equations 3 to 6) as its code computes them, from logits; all scalars.

Equal to the published BCE of sigmoids but where those saturate: there a published loss is cut at 100.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.models.attngan.discriminator import Discriminator
from training.models.attngan.generator import Painted


def discriminator_loss(judge: Discriminator, real: Tensor, painted: Tensor, sentences: Tensor) -> Tensor:
    """Half the losses on real pictures plus a third of those on painted and on mismatched ones.

    real and painted (batch, 3, size, size), sentences (batch, dim); a picture's wrong sentence is the next one's.
    Without an unconditional verdict: real + (painted + wrong) / 2.
    """
    seen, false = judge(real), judge(painted.detach())
    fits = _bce(judge.COND_DNET(seen, sentences), 1)
    painted_fits = _bce(judge.COND_DNET(false, sentences), 0)
    wrong = _bce(judge.COND_DNET(seen[:-1], sentences[1:]), 0)
    if judge.UNCOND_DNET is None:
        return fits + (painted_fits + wrong) / 2
    return (_bce(judge.UNCOND_DNET(seen), 1) + fits) / 2 + (
        _bce(judge.UNCOND_DNET(false), 0) + painted_fits + wrong) / 3


def adversarial_loss(judge: Discriminator, painted: Tensor, sentences: Tensor) -> Tensor:
    """What the generator pays for a stage's pictures not passing for real, alone and with their sentence."""
    seen = judge(painted)
    loss = _bce(judge.COND_DNET(seen, sentences), 1)
    return loss if judge.UNCOND_DNET is None else loss + _bce(judge.UNCOND_DNET(seen), 1)


def conditioning_loss(painted: Painted) -> Tensor:
    """Mean over batch and dimensions of the KL divergence of the condition's distribution from N(0, 1)."""
    mean, log_variance = painted.mean, painted.log_variance
    return -0.5 * (1 + log_variance - mean**2 - torch.exp(log_variance)).mean()


def _bce(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
