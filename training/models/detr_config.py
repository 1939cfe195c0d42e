"""How large Moment-DETR and QD-DETR are and how they learn. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DetrConfig:
    """The models' options; the defaults are both papers' (their released config.py and opt.json)."""

    # moment-detr (Lei et al. 2021), or qd-detr (Moon et al. 2023): video attends to text first, a saliency token.
    name: Literal["moment-detr", "qd-detr"] = "moment-detr"
    # Width of the transformer.
    dim: int = 256
    # Attention heads.
    heads: int = 8
    # Width of the feed-forward layers.
    feedforward: int = 1024
    # Encoder layers; in QD-DETR as many cross-attention layers stand before them.
    encoder_layers: int = 2
    # Decoder layers.
    decoder_layers: int = 2
    # Windows predicted for each query.
    queries: int = 10
    # Linear layers that bring features to the transformer's width.
    input_layers: int = 2
    # Dropout in front of each of those.
    input_dropout: float = 0.5
    # Dropout in the transformer.
    dropout: float = 0.1
    # As QD-DETR's released code, let cross-attention mask what is padding in another sample of the batch: it lays heads
    # and samples out in the wrong order. It only matters where videos of a batch differ in length.
    published_padding: bool = False
    # Learned positions for the tokens of the text; published models have none.
    text_positions: bool = False
    # Clips a window of video holds; a longer video is cut into windows that overlap by half.
    max_clips: int = 75
    # Tokens of a text; what is longer is cut.
    max_tokens: int = 32
    # True windows of a query used in training; of more, as many are drawn.
    max_windows: int = 5


@dataclass(frozen=True)
class DetrLoss:
    """Weights of the losses and of the matching; the defaults are the published ones."""

    # L1 distance of centre and width, in the matching and in the loss.
    span: float = 10.0
    # Generalised IoU, in both.
    giou: float = 1.0
    # Foreground or background, in both.
    label: float = 4.0
    # Weight of the background in the label loss.
    background: float = 0.1
    # Saliency.
    saliency: float = 1.0
    # By how much a clip should be more salient than one that is less so.
    margin: float = 0.2
    # Also judge the decoder's layers before the last.
    auxiliary: bool = True
