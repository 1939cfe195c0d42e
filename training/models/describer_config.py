"""Options of the audio describer. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass

SMALL = "small"
"""The name of the language model that is trained from scratch."""


@dataclass(frozen=True)
class MapperConfig:
    """The mapper from a film's clips to the language model's prefix; defaults are AutoAD's."""

    # Vectors that are learned, and become the prefix.
    latents: int = 10
    # Width; features of another length are projected to it first.
    dim: int = 512
    # Layers.
    layers: int = 2
    # Heads of the attention; 0 is one for every 64 numbers.
    heads: int = 0
    # Positions in time: at most so many clips of one description are looked at, evenly spread where there are more.
    max_clips: int = 512
    # Dropout behind attention and feed-forward layers.
    dropout: float = 0.0
    # Tell the model, of each clip, which part of it the description's time fills; then features are always projected.
    shares: bool = False


@dataclass(frozen=True)
class LanguageConfig:
    """The causal language model, a GPT-2."""

    # small: a GPT-2 of the sizes below and of the training sentences' words, trained from scratch. Else a pretrained
    # one: gpt2, gpt2-medium, OWNER/NAME of the Hub, or a folder in Hugging Face's layout.
    name: str = SMALL
    # Train a pretrained model too; otherwise only the mapper and its tokens are trained, as published.
    train: bool = False
    # Words rarer than this in the training sentences are unknown to the small model.
    min_count: int = 2
    # Width of the small model.
    dim: int = 128
    # Layers of the small model.
    layers: int = 3
    # Heads of the small model.
    heads: int = 4
    # Dropout of the small model.
    dropout: float = 0.1
    # Tokens of a description at most, its end counted; longer ones are cut.
    max_tokens: int = 67


@dataclass(frozen=True)
class DecodeConfig:
    """How sentences are made from the model's probabilities."""

    # Sentences that are kept in the beam; 1 takes the likeliest word each time.
    beams: int = 5
    # Multiplies the logarithm of the probability of words said already; AutoAD's code has 1.2, and 1 does nothing.
    repetition_penalty: float = 1.0
    # No sequence of so many words comes twice in a sentence; AutoAD's code has 3, 0 allows all.
    no_repeat: int = 0
