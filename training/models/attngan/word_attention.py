"""The attention of a refining stage (section 3.1): every place of a picture attends to the words of its caption.

This is where the study swaps the score function. The places h (batch, gf, h, w) are queries; words, mapped to their
size, are keys and values. In the released code of the study and of AttnGAN the mask of padded words is laid out wrongly
(`published_mask`); the study's activation is a ReLU on COCO and a sigmoid on the birds (`AttentionConfig.activation`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.attention.attend import attend
from training.attention.config import AttentionConfig
from training.attention.scores import build_score, initialise


class WordAttention(nn.Module):
    """Attention of picture places to words with a chosen score function; ``dim`` is the places' size."""

    def __init__(self, dim: int, word_dim: int, attention: AttentionConfig, published_mask: bool = False) -> None:
        super().__init__()
        self.conv_context = nn.Conv2d(word_dim, dim, 1, bias=False)
        self.score = build_score(attention, dim)
        self.published_mask = published_mask

    def forward(self, places: Tensor, words: Tensor, mask: Tensor, need_weights: bool = True
                ) -> tuple[Tensor, Tensor | None]:
        """Places (batch, dim, h, w), words (batch, words, word_dim) and their mask, True at real words.

        Gives contexts (batch, dim, h, w) and weights (batch, 1, h * w, words), None unless needed.
        """
        key = torch.einsum("od,bwd->bwo", self.conv_context.weight[:, :, 0, 0], words)[:, None]
        query = places.flatten(2).transpose(1, 2)[:, None]
        allowed = tiled(mask, query.shape[2]) if self.published_mask else mask[:, None, None]
        context, weights = attend(query, key, key, self.score, mask=allowed, need_weights=need_weights)
        return context[:, 0].transpose(1, 2).reshape(places.shape), weights


def tiled(mask: Tensor, places: int) -> Tensor:
    """The published layout of a mask (batch, words): (batch, 1, places, words), captions repeated in turn.

    Scores are flattened picture by picture while the mask repeats the batch, so place p of picture b gets the mask of
    caption (b * places + p) mod batch. One caption alone, or captions of one length, are not harmed.
    """
    batch = len(mask)
    rows = torch.arange(batch * places, device=mask.device) % batch
    return mask[rows].view(batch, 1, places, -1)


def begin_score(score: nn.Module, attention: AttentionConfig) -> None:
    """Draw a score function's first values by the law that its configuration names."""
    for layer in score.modules():
        if isinstance(layer, nn.Linear):
            initialise(layer, attention)
