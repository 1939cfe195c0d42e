"""DAMSM whole: the two encoders side by side, to be trained together and then to guide a generator, frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.attngan.config import EncoderConfig
from training.models.attngan.damsm import damsm_losses
from training.models.attngan.image_encoder import build_image_encoder
from training.models.attngan.text_encoder import TextEncoder


class Encoders(nn.Module):
    """Text and image encoder for a vocabulary of ``words``."""

    def __init__(self, config: EncoderConfig, words: int) -> None:
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(words, config.embed_dim, config.word_dim, config.dropout)
        self.image_encoder = build_image_encoder(config)

    def read(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (batch, words) and lengths (batch,) to words (batch, words, dim) and sentences (batch, dim)."""
        return self.text_encoder(tokens, lengths)

    def see(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (batch, 3, h, w) in -1..1 to regions (batch, regions, dim) and whole pictures (batch, dim)."""
        return self.image_encoder(pictures)

    def losses(self, pictures: Tensor, words: Tensor, sentences: Tensor, mask: Tensor, labels: Tensor | None = None
               ) -> tuple[Tensor, Tensor]:
        """The words and the sentence loss of pictures with their captions, in order; in float32 under autocast, too."""
        regions, whole = self.see(pictures)
        with torch.autocast(pictures.device.type, enabled=False):
            return damsm_losses(regions.float(), whole.float(), words.float(), sentences.float(), mask, self.config,
                                labels)
