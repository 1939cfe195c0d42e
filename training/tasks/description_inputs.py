"""What a describer takes of a batch of descriptions: clips as tensors, sentences as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.descriptions import Window, described_clips, description_stream
from pipeline.sampler import Order
from pipeline.store import Store
from pipeline.stream import Batch
from training.tasks.moment_features import Standard

MEASURED = 2000
"""Training descriptions over whose clips the features' mean and deviation are taken."""
MEASURED_AT_ONCE = 64


def padded(numbers: Sequence[Sequence[int]], device: Any) -> tuple[Tensor, Tensor]:
    """Tokens (batch, longest) int64, zero behind each one's last, and where there is one (batch, longest) bool."""
    out = np.zeros((len(numbers), max(map(len, numbers), default=0)), np.int64)
    valid = np.zeros(out.shape, bool)
    for row, one in enumerate(numbers):
        out[row, : len(one)], valid[row, : len(one)] = one, True
    return torch.from_numpy(out).to(device), torch.from_numpy(valid).to(device)


def clips(
    batch: Batch[Window], names: Sequence[str], most: int, unit: bool, scale: Standard | None, shares: bool, device: Any
) -> tuple[Tensor, Tensor]:
    """Features (batch, clips, d) of the stores ``names`` as the mapper takes them, and where there is a clip.

    ``unit`` divides them by their length, ``scale`` normalises each number, ``shares`` puts behind them which part of
    the clip the description's time fills.
    """
    made = described_clips(batch, names, most)
    values, mask = (torch.from_numpy(array).to(device) for array in (made.features, made.mask))
    if unit:
        values = torch.nn.functional.normalize(values, dim=-1)
    elif scale is not None:
        values = scale(values, mask)
    if shares:
        values = torch.cat([values, torch.from_numpy(made.shares).to(device)[..., None]], -1)
    return values, mask


def scales(
    windows: Sequence[Window], stores: Mapping[str, Store], groups: Mapping[str, Sequence[str]]
) -> dict[str, Standard]:
    """Mean and deviation of each number over clips of training descriptions, for each group of joined stores."""
    stream = description_stream(windows[:: max(1, len(windows) // MEASURED)], stores, MEASURED_AT_ONCE,
                                Order(shuffle="none"))
    parts: dict[str, list[np.ndarray]] = {group: [] for group in groups}
    for batch in stream.epoch(0).batches():
        for group, names in groups.items():
            made = described_clips(batch, names)
            parts[group].append(made.features[made.mask])
    joined = {group: np.concatenate(features).astype(np.float64) for group, features in parts.items()}
    return {group: Standard(features.mean(0), features.std(0)) for group, features in joined.items()}
