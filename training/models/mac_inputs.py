"""What MAC reads: the question through an LSTM, the image through a stem (Hudson and Manning 2018, section 3.1)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.mac_attention import xavier
from training.models.mac_config import MacConfig
from training.models.recurrent import RaggedLSTM

PAD = 0
"""The number of the padding word; its embedding is zero and stays so."""
BOX = 5
"""Numbers of a box: its corners as fractions of the image, and the share of the image it covers."""


class QuestionEncoder(nn.Module):
    """Words in their context, and the question's vector: the last state of each direction."""

    def __init__(self, config: MacConfig, vocabulary: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, config.word_dim, padding_idx=PAD)
        nn.init.uniform_(self.embed.weight, -1, 1)
        with torch.no_grad():
            self.embed.weight[PAD] = 0
        self.rnn = RaggedLSTM(config.word_dim, config.dim // 2)
        self.drop_words, self.drop_question = nn.Dropout(config.drop_words), nn.Dropout(config.drop_question)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (batch, words) int64, lengths (batch,) at least 1: words (batch, words, dim), question (batch, dim).

        Words beyond a length are zero.
        """
        words = self.rnn(self.drop_words(self.embed(tokens)), lengths)
        forwards, backwards = words.chunk(2, -1)
        last = (lengths.to(words.device) - 1)[:, None, None].expand(-1, 1, forwards.shape[-1])
        question = torch.cat([forwards.gather(1, last).squeeze(1), backwards[:, 0]], -1)
        return words, self.drop_question(question)


class GridStem(nn.Module):
    """Convolutions of 3 x 3 with ELUs over a grid of features; their zero padding tells cells where they are."""

    def __init__(self, config: MacConfig, feature_dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        sizes = [feature_dim, *[config.dim] * config.stem_layers]
        self.layers = nn.ModuleList(xavier(nn.Conv2d(a, b, 3, padding=1)) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(config.drop_stem)

    def forward(self, features: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        """Features (batch, cells, feature_dim), row by row of the grid, to (batch, cells, dim); boxes are not used."""
        x = features.to(self.layers[0].weight.dtype).transpose(1, 2).unflatten(2, self.grid)
        for layer in self.layers:
            x = F.elu(layer(self.dropout(x)))
        return x.flatten(2).transpose(1, 2)


class RegionStem(nn.Module):
    """Linear layers with ELUs on each region's features and box; published MAC knows grids alone.

    The first layer is LXMERT's and M4C's, LN(W f + b) + LN(W' g + b'), so that where a region is counts as much as what
    it shows, however large a detector's features are (Tan and Bansal 2019, equation 1, without its half).
    """

    def __init__(self, config: MacConfig, feature_dim: int) -> None:
        super().__init__()
        dim = config.dim
        self.features, self.boxes = xavier(nn.Linear(feature_dim, dim)), xavier(nn.Linear(BOX, dim))
        self.norm_features, self.norm_boxes = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.layers = nn.ModuleList(xavier(nn.Linear(dim, dim)) for _ in range(config.stem_layers - 1))
        self.dropout = nn.Dropout(config.drop_stem)

    def forward(self, features: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        """Features (batch, regions, feature_dim) of any float type and boxes (batch, regions, 5), see `box_geometry`,
        to (batch, regions, dim).
        """
        dtype = self.features.weight.dtype
        of_features, of_boxes = (torch.where(mask.unsqueeze(-1), x, 0).to(dtype) for x in (features, boxes))
        x = self.norm_features(self.features(self.dropout(of_features))) + self.norm_boxes(self.boxes(of_boxes))
        x = F.elu(x)
        for layer in self.layers:
            x = F.elu(layer(self.dropout(x)))
        return x


def box_geometry(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes (batch, regions, 4) in pixels and image sizes (batch, 2) width, height: x1, y1, x2, y2 as fractions, and
    the share of the image they cover (batch, regions, 5) float32. Zero where an image has no size.
    """
    whole = torch.cat([sizes, sizes], -1).float().unsqueeze(1)
    parts = torch.where(whole > 0, boxes.float() / whole.clamp(min=1), 0)
    area = (parts[..., 2] - parts[..., 0]) * (parts[..., 3] - parts[..., 1])
    return torch.cat([parts, area.unsqueeze(-1)], -1)
