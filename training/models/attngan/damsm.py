"""DAMSM, the deep attentional multimodal similarity model (section 3.2): how well pictures and captions fit.

Similarities are matrices (pictures, captions), their loss the mean cross-entropy of finding each picture's caption and
each caption's picture in the batch. The attention here is a dot product in every run of the study.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.models.attngan.config import EncoderConfig

_EPS = 1e-8


def region_attention(regions: Tensor, words: Tensor, mask: Tensor, gamma1: float) -> Tensor:
    """Weights (pictures, captions, words, regions) of every caption's words over every picture's regions, 0 at padding.

    regions (pictures, regions, dim), words (captions, words, dim), ``mask`` (captions, words) True at real words. s =
    w.v (equation 7); s' its softmax over the words of a region (8); a softmax of gamma1 s' over regions (9).
    """
    scores = torch.einsum("ird,jwd->ijwr", regions, words)
    real = mask[None, :, :, None]
    shares = torch.softmax(scores.masked_fill(~real, -torch.inf), 2)
    return torch.softmax(gamma1 * shares, 3).masked_fill(~real, 0)


def word_similarity(regions: Tensor, words: Tensor, mask: Tensor, config: EncoderConfig) -> Tensor:
    """R (pictures, captions) = log sum_words exp(gamma2 cos(word, what it attends to)), equation 10 times gamma2.

    As published, the logarithm is not divided by gamma2, so that gamma2 also acts as a temperature.
    """
    weights = region_attention(regions, words, mask, config.gamma1)
    seen = torch.einsum("ijwr,ird->ijwd", weights, regions)
    own = words[None]
    norms = torch.linalg.vector_norm(own, dim=-1) * torch.linalg.vector_norm(seen, dim=-1)
    cosine = (own * seen).sum(-1) / norms.clamp(min=_EPS)
    return torch.logsumexp((config.gamma2 * cosine).masked_fill(~mask[None], -torch.inf), 2)


def sentence_similarity(pictures: Tensor, sentences: Tensor) -> Tensor:
    """Cosine (pictures, captions) of pictures (n, dim) and sentences (m, dim)."""
    norms = torch.linalg.vector_norm(pictures, dim=1)[:, None] * torch.linalg.vector_norm(sentences, dim=1)[None]
    return pictures @ sentences.T / norms.clamp(min=_EPS)


def matching_loss(similarity: Tensor, gamma3: float, classes: Tensor | None = None) -> Tensor:
    """Cross-entropy of gamma3 * similarity (n, n), matches on the diagonal, both ways and summed (equations 11 to 13).

    Pairs of one class, ``classes`` (n,), are no negatives of each other: as published, they are left out.
    """
    scores = gamma3 * similarity
    if classes is not None:
        same = classes[:, None] == classes[None, :]
        scores = scores.masked_fill(same & ~torch.eye(len(same), dtype=torch.bool, device=same.device), -torch.inf)
    target = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)


def damsm_losses(regions: Tensor, pictures: Tensor, words: Tensor, sentences: Tensor, mask: Tensor,
                 config: EncoderConfig, classes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The words loss and the sentence loss of a batch, scalars: equations 12, 13 and their like for sentences."""
    by_words = matching_loss(word_similarity(regions, words, mask, config), config.gamma3, classes)
    return by_words, matching_loss(sentence_similarity(pictures, sentences), config.gamma3, classes)
