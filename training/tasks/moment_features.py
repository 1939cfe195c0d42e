"""Features with mean 0 and deviation 1, as a part of the model: their figures lie in its checkpoint."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Standard(nn.Module):
    """The first numbers of each clip, less ``mean`` and divided by ``deviation``, both (d,); a clip's place stays."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        # What never changes stays 0: nothing is blown up that is rounding alone.
        self.register_buffer("deviation", torch.from_numpy(np.where(deviation > 1e-4, deviation, 1).astype(np.float32)))

    def forward(self, video: Tensor, mask: Tensor) -> Tensor:
        """(batch, clips, d + 2), zero where the boolean mask (batch, clips) is False."""
        size = len(self.mean)
        scaled = (video[..., :size] - self.mean) / self.deviation
        return torch.cat([scaled, video[..., size:]], -1) * mask[..., None]
