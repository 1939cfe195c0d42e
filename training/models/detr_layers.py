"""The parts that Moment-DETR and QD-DETR share: input layers, positions, encoder, and where the mask enters.

Names of parameters are those of the released code (jayleicn/moment_detr, wjun0830/QD-DETR), so that its checkpoints
load. Everything is batch first: (batch, length, dim).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.mask import LayerMasks
from training.attention.mask_config import MaskConfig
from training.attention.multihead import Multihead


class Mlp(nn.Module):
    """Linear layers with ReLUs between them."""

    def __init__(self, dim: int, hidden: int, out: int, layers: int) -> None:
        super().__init__()
        sizes = [dim, *[hidden] * (layers - 1), out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) to (…, out)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class InputLayer(nn.Module):
    """Layer normalisation, dropout, a linear layer and perhaps a ReLU."""

    def __init__(self, dim: int, out: int, dropout: float, relu: bool) -> None:
        super().__init__()
        self.relu = relu
        self.LayerNorm = nn.LayerNorm(dim)
        self.net = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, out))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, dim) to (batch, length, out)."""
        x = self.net(self.LayerNorm(x))
        return F.relu(x) if self.relu else x


def input_layers(dim: int, out: int, count: int, dropout: float) -> nn.Sequential:
    """``count`` input layers, ReLUs behind all but the last."""
    return nn.Sequential(*(InputLayer(out if i else dim, out, dropout, i < count - 1) for i in range(count)))


class TextPositions(nn.Module):
    """Learned positions on top of the text, normalised; in every checkpoint, whether used or not."""

    def __init__(self, longest: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(longest, dim)
        self.LayerNorm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor) -> Tensor:
        """(batch, tokens, dim)."""
        return self.dropout(self.LayerNorm(text + self.position_embeddings.weight[: text.shape[1]]))


def sines(places: Tensor, dim: int) -> Tensor:
    """Sine and cosine of places (…) at ``dim`` / 2 wavelengths from 1 to 10,000, side by side: (…, dim)."""
    number = torch.arange(dim, dtype=torch.float32, device=places.device)
    wavelength = 10000 ** (2 * torch.div(number, 2, rounding_mode="floor") / dim)
    turns = places[..., None] / wavelength
    return torch.stack([turns[..., 0::2].sin(), turns[..., 1::2].cos()], -1).flatten(-2)


def video_positions(mask: Tensor, dim: int) -> Tensor:
    """Positions of clips as fractions of their video times 2 pi, as sines; of ``mask`` (batch, clips): (…, dim)."""
    places = mask.cumsum(1, dtype=torch.float32)
    return sines(places / (places[:, -1:] + 1e-6) * (2 * math.pi), dim)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer, each normalised behind its residual; positions in query and key only."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, mask: MaskConfig,
                 activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.self_attn = Multihead(dim, heads, dropout, mask)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout, self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)
        self.activation = activation()

    def forward(self, x: Tensor, positions: Tensor, valid: Tensor, learned: Tensor | None = None) -> Tensor:
        """(batch, length, dim); ``valid`` (batch, length) bool."""
        placed = x + positions
        x = self.norm1(x + self.dropout1(self.self_attn(placed, placed, x, valid, learned)))
        return self.norm2(x + self.dropout2(self.feed_forward(x)))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Linear, activation, dropout, linear."""
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class Encoder(nn.Module):
    """Encoder layers, and the masks in front of their softmaxes.

    ``longest`` is the greatest number of tokens. The masks stand outside the transformer's own names (`masks`).
    """

    def __init__(self, layers: int, make: Callable[[], EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(make() for _ in range(layers))

    def forward(
        self, x: Tensor, positions: Tensor, valid: Tensor, masks: LayerMasks, places: Tensor | None = None
    ) -> Tensor:
        """(batch, length, dim); ``places`` (length,) int64 are the tokens' positions in a mask, where not 0, 1, …"""
        allowed = valid[:, None, None]
        shared = masks.begin(x, valid=allowed, places=places)
        for number, layer in enumerate(self.layers):
            x, learned = masks.layer(number, x, shared, valid=allowed, places=places)
            x = layer(x, positions, valid, learned)
        return x


def reset(transformer: nn.Module) -> None:
    """Xavier for every matrix, as DETR begins."""
    for parameter in transformer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
