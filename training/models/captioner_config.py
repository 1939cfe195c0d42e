"""How large the captioner is, how it learns, how it writes. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from features.errors import HeedError


@dataclass(frozen=True)
class CaptionerConfig:
    """The model's options; the defaults are SwinBERT's (its BERT is bert-base)."""

    # Length of the states.
    dim: int = 768
    # Attention heads; they divide the length.
    heads: int = 12
    # Length inside the feed-forward layers.
    feedforward: int = 3072
    # Layers.
    layers: int = 12
    # Dropout of states and attention weights.
    dropout: float = 0.1
    # Dropout of clips' features, in front of the first linear layer; published: none.
    input_dropout: float = 0.0
    # Deviation of the first weights. 0: BERT's 0.02 at length 768, and as much larger as the states are shorter,
    # 0.02 sqrt(768 / dim), so that attention does not begin flat.
    init_std: float = 0.0
    # Length of what a first linear layer makes of a clip's features, before the one that makes states; 0: none.
    video_dim: int = 512
    # Clips of a video that are looked at, evenly spread where it has more.
    max_clips: int = 32
    # Tokens that the first store's features of a clip are cut into, where they are as many vectors behind each other:
    # a grid's cells or, with 14, what each thing that scenes:objects sees happen happens to. Each has an embedding of
    # its place among them; what the other stores say of the clip is one more token. 1: a clip is one token.
    parts: int = 1
    # Pieces of a training caption, [CLS] and [SEP] among them; what is longer is cut.
    max_tokens: int = 50
    # SwinBERT's static sparse mask among the clips: numbers between 0 and 1 that are learned (soft), or rounded to 0
    # and 1 (hard); the comparison beside the learnable mask, so that only one of them can be taken.
    sparse_mask: Literal["none", "soft", "hard"] = "none"
    # Weight in the loss of the sparse mask's mean.
    sparse_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise HeedError(f"--model.dim {self.dim} cannot be shared out among {self.heads} heads.")
        if self.max_clips < 1 or self.max_tokens < 3 or self.parts < 1:
            raise HeedError("--model.max-clips and --model.parts are at least 1, --model.max-tokens at least 3.")


@dataclass(frozen=True)
class CaptionTraining:
    """What is hidden of a caption in training; the defaults are SwinBERT's."""

    # masked: some pieces are hidden and told from those before them, hidden ones among them, as published. next: every
    # piece is told by a [MASK] of its own that sees all pieces before it, as in writing (the pseudo-masks of UniLM 2).
    objective: Literal["masked", "next"] = "masked"
    # Share of a caption's pieces that are to be told; of those 80 % are masked, 10 % replaced, 10 % left.
    mask_rate: float = 0.5
    # Most pieces of a caption that are to be told.
    max_masked: int = 45
    # Share of the probability that goes to the pieces that are not true.
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class CaptionWriting:
    """How captions are written."""

    # Captions that are kept while one is written (beam search); 1, published, takes the likeliest piece each time.
    beams: int = 1
    # Pieces of a caption, [CLS] and [SEP] among them.
    longest: int = 20
    # Power of the length by which a beam's log-probability is divided.
    length_penalty: float = 1.0
    # Captions that are drawn for a video, piece by piece as likely as the model thinks; the one that is most like the
    # others by CIDEr, words weighed as in the training captions, is written. 0: none are, and beams are searched.
    samples: int = 0
    # What scores are divided by before pieces are drawn; below 1 the likely ones become likelier.
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.beams < 1 or self.longest < 3:
            raise HeedError("--writing.beams is at least 1, --writing.longest at least 3.")
        if self.samples and (self.samples < 2 or self.beams > 1 or self.temperature <= 0):
            raise HeedError("--writing.samples is 0, or 2 and more, with --writing.beams 1 and a --writing.temperature "
                            "above 0: captions are drawn, or beams are searched.")
