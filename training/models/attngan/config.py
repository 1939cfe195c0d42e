"""AttnGAN's options. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EncoderConfig:
    """The text and image encoders whose similarity guides the generator; defaults as published for both data sets."""

    # Network that sees the picture: Inception-v3 as published, or a small one for pictures of 64 pixels.
    image_encoder: Literal["inception", "small"] = "inception"
    # Weights of Inception-v3 trained on ImageNet: torchvision's file, or "default" to download it.
    inception: str = "default"
    # Size of the joint embedding of words, sentences, regions and pictures.
    embed_dim: int = 256
    # Size of the word embeddings, learned from scratch.
    word_dim: int = 300
    # Probability of dropping a number of a word embedding in training.
    dropout: float = 0.5
    # Channels of the small network's first layer; each of the next two has twice as many.
    width: int = 32
    # Inverse temperature of the softmax over regions (equation 9).
    gamma1: float = 4.0
    # Of the log-sum-exp over words (equation 10).
    gamma2: float = 5.0
    # Of the softmax over the captions, and the pictures, of a batch (equation 11).
    gamma3: float = 10.0
    # Enlarge pictures for Inception as torch before 0.4 did (corners on corners), with which published encoders were
    # trained.
    align_corners: bool = False


@dataclass(frozen=True)
class AttnGanConfig:
    """Generator and discriminators; defaults as published for the birds, --model.gf-dim 48 --model.df-dim 96
    --model.residuals 3 for COCO.
    """

    # Pictures a generator makes: the first from the sentence, each further one twice as large, refined by the words.
    stages: int = 3
    # Side of the first picture, a power of two.
    base_size: int = 64
    # Channels of the generator where it paints.
    gf_dim: int = 32
    # Channels of a discriminator's first layer, behind which they double.
    df_dim: int = 64
    # Size of the noise.
    z_dim: int = 100
    # Size of the condition drawn from the sentence (conditioning augmentation).
    condition_dim: int = 100
    # Residual blocks in a refining stage.
    residuals: int = 2
    # Discriminators also judge pictures alone, without their sentence.
    unconditional: bool = True
    # Mask padded words as published, where most places of a batch get another caption's mask.
    published_mask: bool = False

    @property
    def size(self) -> int:
        """Side of the last picture, in pixels."""
        return self.base_size * 2 ** (self.stages - 1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of all pictures, small to large."""
        return tuple(self.base_size * 2**stage for stage in range(self.stages))
