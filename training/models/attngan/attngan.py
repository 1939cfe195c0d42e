"""A generator with its discriminators: all that AttnGAN trains. The encoders that guide it stay as they are."""

from __future__ import annotations

from torch import nn

from training.attention.config import AttentionConfig
from training.models.attngan.config import AttnGanConfig
from training.models.attngan.discriminator import Discriminator
from training.models.attngan.generator import Generator


class AttnGan(nn.Module):
    """``word_dim`` is the size of words and sentences."""

    def __init__(self, config: AttnGanConfig, attention: AttentionConfig, word_dim: int) -> None:
        super().__init__()
        self.generator = Generator(config, attention, word_dim)
        self.discriminators = nn.ModuleList(
            Discriminator(size, config.df_dim, word_dim, config.unconditional) for size in config.sizes)
