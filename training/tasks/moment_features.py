"""Features with mean 0 and deviation 1, as a part of the model: their figures lie in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.annotations import Caption, Moment
from pipeline.moments import StoredKeys
from pipeline.store import Store

MEASURED = 500
"""Videos over which the features' mean and deviation are taken."""


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


def measured(videos: Mapping[str, Store], samples: Sequence[Moment | Caption]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (d,) of each number of the stores' features, over the clips of at most `MEASURED` videos."""
    parts = []
    for store in videos.values():
        keys = dict.fromkeys(map(StoredKeys(samples, store), samples))
        rows = [row for row in map(store.find, keys) if row is not None]
        rows = rows[:: max(1, len(rows) // MEASURED)]
        values, lengths = store.gather("features", np.array(rows, np.int64))
        clips = values[np.arange(values.shape[1]) < lengths[:, None]].astype(np.float32)
        parts.append((clips.mean(0), clips.std(0)))
    means, deviations = zip(*parts, strict=True)
    return np.concatenate(means), np.concatenate(deviations)
