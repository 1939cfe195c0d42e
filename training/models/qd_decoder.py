"""QD-DETR's decoder: queries are windows (centre, width), refined layer by layer (DAB-DETR, Liu et al. 2022)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.attention.multihead import Attended
from training.models.detr_config import DetrConfig
from training.models.detr_layers import Mlp, sines


def inverse_sigmoid(x: Tensor, epsilon: float = 1e-3) -> Tensor:
    """log(x / (1 - x)) of x in 0 … 1, each kept from 0 by ``epsilon``."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=epsilon) / (1 - x).clamp(min=epsilon))


class DecoderLayer(nn.Module):
    """Attention with content and position projected apart; in cross-attention they stand side by side in each head."""

    def __init__(self, config: DetrConfig, first: bool) -> None:
        super().__init__()
        dim, dropout = config.dim, config.dropout
        self.sa_qcontent_proj, self.sa_qpos_proj, self.sa_kcontent_proj, self.sa_kpos_proj, self.sa_v_proj = (
            nn.Linear(dim, dim) for _ in range(5))
        self.self_attn = Attended(dim, config.heads, dropout)
        self.ca_qcontent_proj, self.ca_kcontent_proj, self.ca_kpos_proj, self.ca_v_proj, self.ca_qpos_sine_proj = (
            nn.Linear(dim, dim) for _ in range(5))
        # Only the first layer's queries, which have no content yet, are told their position as content.
        self.ca_qpos_proj = nn.Linear(dim, dim) if first else None
        self.cross_attn = Attended(dim, config.heads, dropout)
        self.linear1, self.linear2 = nn.Linear(dim, config.feedforward), nn.Linear(config.feedforward, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.activation = nn.PReLU()
        self.heads = config.heads

    def forward(
        self, x: Tensor, memory: Tensor, valid: Tensor, positions: Tensor, query_positions: Tensor, window: Tensor
    ) -> Tensor:
        """(batch, queries, dim); ``window`` (batch, queries, dim) is the sines of each query's window."""
        q = self.sa_qcontent_proj(x) + self.sa_qpos_proj(query_positions)
        k = self.sa_kcontent_proj(x) + self.sa_kpos_proj(query_positions)
        among = self.self_attn(self._split(q), self._split(k), self._split(self.sa_v_proj(x)))
        x = self.norm1(x + self.dropout(among))
        q, k, places = self.ca_qcontent_proj(x), self.ca_kcontent_proj(memory), self.ca_kpos_proj(positions)
        if self.ca_qpos_proj is not None:
            q, k = q + self.ca_qpos_proj(query_positions), k + places
        q = torch.cat([self._split(q), self._split(self.ca_qpos_sine_proj(window))], -1)
        k = torch.cat([self._split(k), self._split(places)], -1)
        x = self.norm2(x + self.dropout(self.cross_attn(q, k, self._split(self.ca_v_proj(memory)), valid)))
        return self.norm3(x + self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x))))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Decoder(nn.Module):
    """Decoder layers, each of which moves the windows that the next one looks at."""

    def __init__(self, config: DetrConfig) -> None:
        super().__init__()
        dim = config.dim
        self.layers = nn.ModuleList(DecoderLayer(config, not i) for i in range(config.decoder_layers))
        self.norm = nn.LayerNorm(dim)
        self.query_scale, self.ref_point_head = Mlp(dim, dim, dim, 2), Mlp(dim, dim, dim, 2)
        self.bbox_embed, self.ref_anchor_head = Mlp(dim, dim, 2, 3), Mlp(dim, dim, 1, 2)
        nn.init.zeros_(self.bbox_embed.layers[-1].bias)
        self.dim = dim

    def forward(self, memory: Tensor, valid: Tensor, positions: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Results (layers, batch, queries, dim) and the windows that each layer began with (layers, batch, queries, 2).

        ``queries`` (queries, 2) are the windows' inverse sigmoids; no gradient goes from one layer's windows into the
        layer before.
        """
        windows = queries.sigmoid().expand(len(memory), -1, -1)
        x = memory.new_zeros(*windows.shape[:2], self.dim)
        results, begun = [], [windows]
        for number, layer in enumerate(self.layers):
            seen = sines(windows * (2 * math.pi), self.dim // 2).flatten(-2)
            query_positions = self.ref_point_head(seen)
            scaled = seen * self.query_scale(x) if number else seen
            # Attention as wide as the window: the sines' product is scaled by expected over present width.
            scaled = scaled * (self.ref_anchor_head(x).sigmoid() / windows[..., 1:])
            x = layer(x, memory, valid, positions, query_positions, scaled)
            results.append(self.norm(x))
            moved = (self.bbox_embed(x) + inverse_sigmoid(windows)).sigmoid()
            begun.append(moved)
            windows = moved.detach()
        return torch.stack(results), torch.stack(begun[:-1])
