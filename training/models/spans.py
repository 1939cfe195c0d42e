"""Windows of time as (start, end) and as (centre, width), and how far apart they are."""

from __future__ import annotations

import torch
from torch import Tensor


def to_centres(edges: Tensor) -> Tensor:
    """(…, 2) start and end to centre and width."""
    return torch.stack([edges.sum(-1) / 2, edges[..., 1] - edges[..., 0]], -1)


def to_edges(centres: Tensor) -> Tensor:
    """(…, 2) centre and width to start and end."""
    return torch.stack([centres[..., 0] - centres[..., 1] / 2, centres[..., 0] + centres[..., 1] / 2], -1)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU less the share of the hull that neither covers (Rezatofighi et al. 2019), -1 to 1; edges (…, 2) broadcast.

    Two windows without length at one place are 0 / 0: they count as equal, 1, where published code gives NaN.
    """
    overlap = (torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(first[..., 0], second[..., 0])).clamp(min=0)
    hull = torch.maximum(first[..., 1], second[..., 1]) - torch.minimum(first[..., 0], second[..., 0])
    union = first[..., 1] - first[..., 0] + second[..., 1] - second[..., 0] - overlap
    tiny = torch.finfo(hull.dtype).tiny
    iou = torch.where(union > 0, overlap / union.clamp(min=tiny), torch.ones_like(union))
    return iou - (hull - union) / hull.clamp(min=tiny)
