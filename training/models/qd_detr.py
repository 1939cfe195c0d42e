"""QD-DETR: a video that has read the query before it is encoded (Moon et al., CVPR 2023, arXiv 2303.13874).

Video attends to text in layers of cross-attention; the text is then left behind, and the video is encoded with a token
in front of it whose product with each clip is the clip's saliency. The decoder's queries are windows, refined layer by
layer (DAB-DETR, Liu et al. 2022). In training, the same video is read with another sample's text too: nothing in it
should be salient. Names of parameters and numbers are those of the released code (wjun0830/QD-DETR).

The learnable mask stands in the cross-attention (clips x tokens) and in the encoder's self-attention.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.attention.mask import LayerMasks
from training.attention.mask_config import MaskConfig
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
from training.models.moment_detr import Found
from training.models.qd_decoder import Decoder, inverse_sigmoid


class CrossLayer(EncoderLayer):
    """Clips attend to tokens. As released, the feed-forward layer's residual goes around the first normalisation."""

    def across(
        self, video: Tensor, text: Tensor, positions: tuple[Tensor, Tensor], valid: Tensor, learned: Tensor | None
    ) -> Tensor:
        """Video (batch, clips, dim), which has attended to text (batch, tokens, dim)."""
        attended = self.self_attn(video + positions[0], text + positions[1], text, valid, learned)
        video = video + self.dropout1(attended)
        return self.norm2(video + self.dropout2(self.feed_forward(self.norm1(video))))


class CrossEncoder(nn.Module):
    """Layers of cross-attention, and the masks in front of their softmaxes."""

    def __init__(self, config: DetrConfig, mask: MaskConfig) -> None:
        super().__init__()
        size = (config.dim, config.heads, config.feedforward, config.dropout)
        self.layers = nn.ModuleList(CrossLayer(*size, mask, nn.PReLU) for _ in range(config.encoder_layers))
        self.config = config

    def forward(
        self, video: Tensor, text: Tensor, positions: tuple[Tensor, Tensor], video_mask: Tensor, text_mask: Tensor,
        masks: LayerMasks,
    ) -> Tensor:
        """Video (batch, clips, dim)."""
        allowed = text_mask[:, None, None]
        valid = text_mask
        if self.config.published_padding:
            both = ~video_mask[:, :, None] & ~text_mask[:, None]
            mixed = both.repeat(self.config.heads, 1, 1).unflatten(0, (len(video), self.config.heads))
            valid = allowed & ~mixed
        shared = masks.begin(video, text, allowed)
        for number, layer in enumerate(self.layers):
            video, learned = masks.layer(number, video, shared, text, allowed)
            video = layer.across(video, text, positions, valid, learned)
        return video


class Transformer(nn.Module):
    """Cross-attention, encoder and decoder."""

    def __init__(self, config: DetrConfig, mask: MaskConfig) -> None:
        super().__init__()
        size = (config.dim, config.heads, config.feedforward, config.dropout)
        self.t2v_encoder = CrossEncoder(config, mask)
        self.encoder = Encoder(config.encoder_layers, lambda: EncoderLayer(*size, mask, nn.PReLU))
        self.decoder = Decoder(config)
        reset(self)


class QdDetr(nn.Module):
    """``video_dim`` and ``text_dim`` are the lengths of the features, the clips' places among them."""

    def __init__(self, config: DetrConfig, mask: MaskConfig, video_dim: int, text_dim: int) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config, mask)
        self.txt_position_embed = TextPositions(config.max_tokens, config.dim, config.input_dropout)
        self.input_txt_proj = input_layers(text_dim, config.dim, config.input_layers, config.input_dropout)
        self.input_vid_proj = input_layers(video_dim, config.dim, config.input_layers, config.input_dropout)
        self.query_embed = nn.Embedding(config.queries, 2)
        self.span_embed = Mlp(config.dim, config.dim, 2, 3)
        self.class_embed = nn.Linear(config.dim, 2)
        self.saliency_proj1, self.saliency_proj2 = (nn.Linear(config.dim, config.dim) for _ in range(2))
        self.global_rep_token = nn.Parameter(torch.randn(config.dim))
        self.global_rep_pos = nn.Parameter(torch.randn(config.dim))
        size, heads = (config.encoder_layers, config.dim), config.heads
        longest = config.max_clips if mask.cross == "key" else config.max_tokens
        self.cross_masks = LayerMasks(mask, *size, longest, heads)
        self.encoder_masks = LayerMasks(mask, *size, config.max_clips + 1, heads)
        self._penalty: Tensor | float = 0.0

    def forward(
        self, video: Tensor, video_mask: Tensor, text: Tensor, text_mask: Tensor, negatives: bool = False
    ) -> Found:
        """Video (batch, clips, video_dim), text (batch, tokens, text_dim), masks bool, True where there is something.

        With ``negatives``, ``negative`` is each video's saliency for the text of the next sample of the batch.
        """
        video, text = self.input_vid_proj(video), self.input_txt_proj(text)
        places = video_positions(video_mask, self.config.dim)
        memory, saliency = self._read(video, video_mask, places, text, text_mask)
        self._penalty = self.cross_masks.loss() + self.encoder_masks.loss()
        decoded, windows = self.transformer.decoder(memory, video_mask, places, self.query_embed.weight)
        logits = self.class_embed(decoded)
        spans = (self.span_embed(decoded) + inverse_sigmoid(windows)).sigmoid()
        negative = None
        if negatives:
            negative = self._read(video, video_mask, places, text.roll(-1, 0), text_mask.roll(-1, 0))[1]
        return Found(spans[-1], logits[-1], saliency, list(zip(spans[:-1], logits[:-1], strict=True)), negative)

    def _read(
        self, video: Tensor, video_mask: Tensor, places: Tensor, text: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The encoded video (batch, clips, dim) and its saliency (batch, clips)."""
        text_places = self.txt_position_embed(text) if self.config.text_positions else torch.zeros_like(text)
        read = self.transformer.t2v_encoder(video, text, (places, text_places), video_mask, text_mask,
                                            self.cross_masks)
        front, at = (x.expand(len(video), 1, -1) for x in (self.global_rep_token, self.global_rep_pos))
        valid = torch.cat([torch.ones_like(video_mask[:, :1]), video_mask], 1)
        memory = self.transformer.encoder(torch.cat([front, read], 1), torch.cat([at, places], 1), valid,
                                          self.encoder_masks)
        whole, clips = memory[:, :1], memory[:, 1:]
        saliency = (self.saliency_proj1(clips) * self.saliency_proj2(whole)).sum(-1) / math.sqrt(self.config.dim)
        return clips, saliency

    def mask_loss(self) -> Tensor | float:
        """The masks' sparsity loss, of the video read with its own text."""
        return self._penalty
