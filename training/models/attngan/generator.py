"""AttnGAN's generator (section 3.1): a picture from the sentence, then larger ones refined by the words."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.config import AttentionConfig
from training.models.attngan.blocks import GatedLinear, Residual, conv3x3, initialise, upsampling
from training.models.attngan.config import AttnGanConfig
from training.models.attngan.word_attention import WordAttention, begin_score


@dataclass(frozen=True)
class Painted:
    """What a generator gives."""

    pictures: list[Tensor]
    """A stage each, (batch, 3, size, size) in -1..1, small to large."""
    attention: list[Tensor | None]
    """A refining stage each: weights (batch, 1, places of the picture before, words), None where not asked for."""
    mean: Tensor
    """(batch, condition) of the condition's normal distribution."""
    log_variance: Tensor
    """(batch, condition)."""


class Conditioning(nn.Module):
    """Conditioning augmentation (StackGAN, Zhang et al. 2017): a condition drawn around what the sentence says."""

    def __init__(self, sentence_dim: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(sentence_dim, 4 * dim)
        self.gate = GatedLinear()

    def forward(self, sentences: Tensor, epsilon: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Sentences (batch, sentence_dim) to conditions, means and logarithms of variances, all (batch, dim)."""
        mean, log_variance = self.gate(self.fc(sentences)).chunk(2, 1)
        epsilon = torch.randn_like(mean) if epsilon is None else epsilon
        return mean + epsilon * torch.exp(log_variance / 2), mean, log_variance


class FirstStage(nn.Module):
    """Noise and condition to 4 x 4 cells, doubled until the picture's size: (batch, gf, size, size)."""

    def __init__(self, inputs: int, channels: int, size: int) -> None:
        super().__init__()
        self.doublings = size.bit_length() - 3
        self.channels = channels << self.doublings
        self.fc = nn.Sequential(nn.Linear(inputs, self.channels * 16 * 2, bias=False),
                                nn.BatchNorm1d(self.channels * 16 * 2), GatedLinear())
        for number in range(self.doublings):
            setattr(self, f"upsample{number + 1}", upsampling(self.channels >> number, self.channels >> number + 1))

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Noise (batch, z) and condition (batch, condition)."""
        x = self.fc(torch.cat([condition, noise], 1)).view(-1, self.channels, 4, 4)
        for number in range(self.doublings):
            x = getattr(self, f"upsample{number + 1}")(x)
        return x


class RefiningStage(nn.Module):
    """Places and the words each attends to, into twice as many places."""

    def __init__(self, channels: int, word_dim: int, config: AttnGanConfig, attention: AttentionConfig) -> None:
        super().__init__()
        self.att = WordAttention(channels, word_dim, attention, config.published_mask)
        self.residual = nn.Sequential(*(Residual(2 * channels) for _ in range(config.residuals)))
        self.upsample = upsampling(2 * channels, channels)

    def forward(self, places: Tensor, words: Tensor, mask: Tensor, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Places (batch, gf, s, s) to (batch, gf, 2s, 2s), and attention weights (batch, 1, s * s, words)."""
        context, weights = self.att(places, words, mask, need_weights)
        return self.upsample(self.residual(torch.cat([places, context], 1))), weights


class Painter(nn.Module):
    """Places (batch, gf, s, s) to a picture (batch, 3, s, s) in -1..1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.img = nn.Sequential(conv3x3(channels, 3), nn.Tanh())

    def forward(self, places: Tensor) -> Tensor:
        """The picture."""
        return self.img(places)


class Generator(nn.Module):
    """Parameters as in the published netG_*.pth, but for the score function's (`published`).

    ``word_dim`` is the size of words and sentences. Raises `HeedError` for a size that is no power of two.
    """

    def __init__(self, config: AttnGanConfig, attention: AttentionConfig, word_dim: int) -> None:
        super().__init__()
        if config.base_size < 8 or config.base_size & (config.base_size - 1) or config.stages < 1:
            raise HeedError(f"A generator of {config.stages} stages from {config.base_size} pixels cannot be: give at "
                            "least one stage, and a power of two from 8.")
        self.config = config
        self.ca_net = Conditioning(word_dim, config.condition_dim)
        self.h_net1 = FirstStage(config.z_dim + config.condition_dim, config.gf_dim, config.base_size)
        self.img_net1 = Painter(config.gf_dim)
        for stage in range(2, config.stages + 1):
            setattr(self, f"h_net{stage}", RefiningStage(config.gf_dim, word_dim, config, attention))
            setattr(self, f"img_net{stage}", Painter(config.gf_dim))
        initialise(self)
        if attention.init != "default":  # the default is the published law, by which all of the generator begins
            for module in self.modules():
                if isinstance(module, WordAttention):
                    begin_score(module.score, attention)

    def forward(self, noise: Tensor, sentences: Tensor, words: Tensor, mask: Tensor, need_weights: bool = False,
                epsilon: Tensor | None = None) -> Painted:
        """Noise (batch, z), sentences (batch, word_dim), words (batch, words, word_dim), their mask True at real words.

        ``epsilon`` (batch, condition) is the conditioning's noise, drawn where it is not given.
        """
        condition, mean, log_variance = self.ca_net(sentences, epsilon)
        places = self.h_net1(noise, condition)
        painted = Painted([self.img_net1(places)], [], mean, log_variance)
        for stage in range(2, self.config.stages + 1):
            places, weights = getattr(self, f"h_net{stage}")(places, words, mask, need_weights)
            painted.pictures.append(getattr(self, f"img_net{stage}")(places))
            painted.attention.append(weights)
        return painted
