"""What M4C's multimodal transformer takes in: regions and OCR words (Hu et al. 2020, §3.1, equations 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.m4c_config import M4cConfig


@dataclass(frozen=True)
class M4cInputs:
    """A batch of questions with their images; masks are boolean, False at padding."""

    tokens: Tensor
    """(batch, pieces) int64."""
    token_mask: Tensor
    objects: Tensor
    """(batch, regions, dim) float features as stored."""
    object_boxes: Tensor
    """(batch, regions, 4) float: x1 / W, y1 / H, x2 / W, y2 / H."""
    object_mask: Tensor
    words: tuple[Tensor, ...]
    """Fixed features of OCR words, each (batch, words, d): fastText, PHOC, as far as they are used."""
    word_objects: Tensor | None
    """(batch, words, dim) features of the words' boxes, None where there are none."""
    word_pieces: Tensor | None
    """(batch, words, pieces) int64 for `M4cConfig.learned_words`, 0 at padding."""
    word_boxes: Tensor
    """(batch, words, 4) as ``object_boxes``."""
    word_mask: Tensor


class Fc7(nn.Module):
    """Detectron's last fully connected layer: ReLU(W fc6 + b), named as MMF's weights name it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lc = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """(…, dim) to (…, dim)."""
        return F.relu(self.lc(features))


class Embedder(nn.Module):
    """LN(W1 x) + LN(W2 box), then dropout; x is what several L2-normalised features make side by side."""

    def __init__(self, dim: int, config: M4cConfig, zeros: int = 0) -> None:
        super().__init__()
        self.zeros = zeros
        self.features = nn.Linear(dim + zeros, config.hidden)
        self.box = nn.Linear(4, config.hidden)
        self.features_norm, self.box_norm = (nn.LayerNorm(config.hidden, eps=config.input_epsilon) for _ in range(2))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, parts: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """(batch, n, hidden) of parts (batch, n, d) each and relative boxes (batch, n, 4)."""
        together = torch.cat([F.normalize(part, dim=-1) for part in parts], -1)
        if self.zeros:
            together = F.pad(together, (0, self.zeros))
        out: Tensor = self.features_norm(self.features(together)) + self.box_norm(self.box(boxes))
        return self.dropout(out)
