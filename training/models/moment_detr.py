"""Moment-DETR: windows and saliency of a query in a video (Lei et al., NeurIPS 2021, arXiv 2107.09609).

Video and text are brought to one width, put behind each other and encoded together; ten learned queries decode windows
from what comes out, and a linear layer reads each clip's saliency from it. With the learnable mask (`MaskConfig`) in
the encoder's self-attention; the decoder has plain attention. The parameters' names are the released code's
(jayleicn/moment_detr), which computes the same numbers, and one more thing that is off there: contrastive alignment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.mask import LayerMasks
from training.attention.mask_config import MaskConfig
from training.attention.multihead import Multihead
from training.models.detr_config import DetrConfig
from training.models.detr_layers import (
    Encoder,
    EncoderLayer,
    Mlp,
    TextPositions,
    input_layers,
    reset,
    video_positions,
)


@dataclass(frozen=True)
class Found:
    """What a model says of a batch."""

    spans: Tensor
    """(batch, queries, 2): centre and width of each window, as fractions of the video."""
    logits: Tensor
    """(batch, queries, 2): foreground first."""
    saliency: Tensor
    """(batch, clips)."""
    auxiliary: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Spans and logits of the decoder's layers before the last."""
    negative: Tensor | None = None
    """(batch, clips): saliency for another sample's text, where it was asked for."""


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to the memory, a feed-forward layer."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.multihead_attn = Multihead(dim, heads, dropout), Multihead(dim, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, valid: Tensor, positions: Tensor, queries: Tensor) -> Tensor:
        """(batch, queries, dim)."""
        placed = x + queries
        x = self.norm1(x + self.dropout(self.self_attn(placed, placed, x)))
        x = self.norm2(x + self.dropout(self.multihead_attn(x + queries, memory + positions, memory, valid)))
        return self.norm3(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class Decoder(nn.Module):
    """Decoder layers; each one's result is normalised on its own."""

    def __init__(self, config: DetrConfig) -> None:
        super().__init__()
        size = (config.dim, config.heads, config.feedforward, config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(*size) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, memory: Tensor, valid: Tensor, positions: Tensor, queries: Tensor) -> Tensor:
        """(layers, batch, queries, dim)."""
        queries = queries.expand(len(memory), -1, -1)
        x, results = torch.zeros_like(queries), []
        for layer in self.layers:
            x = layer(x, memory, valid, positions, queries)
            results.append(self.norm(x))
        return torch.stack(results)


class Transformer(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: DetrConfig, mask: MaskConfig) -> None:
        super().__init__()
        size = (config.dim, config.heads, config.feedforward, config.dropout)
        self.encoder = Encoder(config.encoder_layers, lambda: EncoderLayer(*size, mask))
        self.decoder = Decoder(config)
        reset(self)


class MomentDetr(nn.Module):
    """``video_dim`` and ``text_dim`` are the lengths of the features, the clips' places among them."""

    def __init__(self, config: DetrConfig, mask: MaskConfig, video_dim: int, text_dim: int) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config, mask)
        self.txt_position_embed = TextPositions(config.max_tokens, config.dim, config.input_dropout)
        self.input_txt_proj = input_layers(text_dim, config.dim, config.input_layers, config.input_dropout)
        self.input_vid_proj = input_layers(video_dim, config.dim, config.input_layers, config.input_dropout)
        self.query_embed = nn.Embedding(config.queries, config.dim)
        self.span_embed = Mlp(config.dim, config.dim, 2, 3)
        self.class_embed = nn.Linear(config.dim, 2)
        self.saliency_proj = nn.Linear(config.dim, 1)
        longest = config.max_clips + config.max_tokens
        self.encoder_masks = LayerMasks(mask, config.encoder_layers, config.dim, longest, config.heads)

    def forward(
        self, video: Tensor, video_mask: Tensor, text: Tensor, text_mask: Tensor, negatives: bool = False
    ) -> Found:
        """Video (batch, clips, video_dim), text (batch, tokens, text_dim), masks bool, True where there is something.

        ``negatives`` is QD-DETR's.
        """
        video, text = self.input_vid_proj(video), self.input_txt_proj(text)
        clips, tokens = video.shape[1], text.shape[1]
        text_places = self.txt_position_embed(text) if self.config.text_positions else torch.zeros_like(text)
        positions = torch.cat([video_positions(video_mask, self.config.dim), text_places], 1)
        valid = torch.cat([video_mask, text_mask], 1)
        # In a mask the text begins behind the longest video there may be, not behind this batch's longest.
        places = torch.cat([torch.arange(clips), self.config.max_clips + torch.arange(tokens)]).to(video.device)
        memory = self.transformer.encoder(torch.cat([video, text], 1), positions, valid, self.encoder_masks, places)
        decoded = self.transformer.decoder(memory, valid, positions, self.query_embed.weight)
        logits, spans = self.class_embed(decoded), self.span_embed(decoded).sigmoid()
        saliency = self.saliency_proj(memory[:, :clips]).squeeze(-1)
        return Found(spans[-1], logits[-1], saliency, list(zip(spans[:-1], logits[:-1], strict=True)))

    def mask_loss(self) -> Tensor | float:
        """The masks' sparsity loss."""
        return self.encoder_masks.loss()
