"""Anchors, box codes and region proposals, counted as Caffe counts pixels or as detectron2 does.

Ren et al., "Faster R-CNN" (NeurIPS 2015). Sources of the details: lib/rpn of rbgirshick/py-faster-rcnn for Caffe's,
modeling/anchor_generator.py, box_regression.py and proposal_utils.py of facebookresearch/detectron2 for the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms

from features.detectors.c4_config import C4Config
from features.detectors.c4_network import STRIDE

RATIOS = (0.5, 1.0, 2.0)
"""Height to width of the anchors."""
_LARGEST_STEP = math.log(1000 / 16)  # of a box's logarithmic width and height in one regression


def cell_anchors(config: C4Config) -> Tensor:
    """Anchors (kinds, 4) of the first cell, in pixels, in the order of the proposal head's channels."""
    if config.anchors == "caffe":
        # A 16 x 16 box of pixels 0 to 15, its shape and then its size changed, each rounded to whole pixels.
        rows = []
        for ratio in RATIOS:
            width = round(math.sqrt(STRIDE * STRIDE / ratio))
            height = round(width * ratio)
            for side in config.anchor_sides:
                half_width, half_height = (0.5 * (edge * side / STRIDE - 1) for edge in (width, height))
                middle = (STRIDE - 1) / 2
                rows.append([middle - half_width, middle - half_height, middle + half_width, middle + half_height])
        return torch.tensor(rows)
    shapes = [(side / math.sqrt(ratio), side * math.sqrt(ratio)) for side in config.anchor_sides for ratio in RATIOS]
    return torch.tensor([[-width / 2, -height / 2, width / 2, height / 2] for width, height in shapes])


def anchors(cells: Tensor, height: int, width: int) -> Tensor:
    """Anchors (height * width * kinds, 4) of a map: row by row, kinds fastest."""
    down, across = torch.meshgrid(torch.arange(height, device=cells.device) * STRIDE,
                                  torch.arange(width, device=cells.device) * STRIDE, indexing="ij")
    shifts = torch.stack([across, down, across, down], -1).reshape(-1, 1, 4)
    return (shifts + cells).reshape(-1, 4)


def decode(codes: Tensor, boxes: Tensor, weights: Sequence[float], inclusive: bool) -> Tensor:
    """Boxes (..., 4) that the codes (..., 4) make of ``boxes``."""
    extra = 1.0 if inclusive else 0.0
    size = boxes[..., 2:] - boxes[..., :2] + extra
    middle = boxes[..., :2] + 0.5 * size
    scales = codes.new_tensor(weights)
    steps = codes / scales
    middle = steps[..., :2] * size + middle
    half = 0.5 * steps[..., 2:].clamp(max=_LARGEST_STEP).exp() * size
    return torch.cat([middle - half, middle + half], -1)


def clip(boxes: Tensor, height: int, width: int, inclusive: bool) -> Tensor:
    """Boxes (n, 4) cut at the borders of what the network saw; Caffe's end at the last pixel."""
    extra = 1 if inclusive else 0
    limit = boxes.new_tensor([width - extra, height - extra] * 2)
    return torch.minimum(boxes.clamp(min=0), limit)


def propose(objectness: Tensor, codes: Tensor, grid: Tensor, size: tuple[int, int], scale: float,
            config: C4Config) -> Tensor:
    """The proposals (n, 4) of one image, best first.

    ``objectness`` (anchors,) and ``codes`` (anchors, 4) as the network gives them, ``grid`` (anchors, 4), ``size``
    the height and width of the network's input, ``scale`` what took the image to it.
    """
    if config.inclusive:  # Caffe drops thin boxes before it takes the best
        boxes = clip(decode(codes, grid, (1, 1, 1, 1), True), *size, True)
        edges = boxes[:, 2:] - boxes[:, :2]
        kept = ((edges > 0) & (edges + 1 > config.thinnest * scale)).all(1)
        boxes, objectness = boxes[kept], objectness[kept]
        best = objectness.argsort(descending=True, stable=True)[: config.before]
        boxes, objectness = boxes[best], objectness[best]
        ends = boxes + boxes.new_tensor([0, 0, 1, 1])
        return boxes[nms(ends, objectness, config.overlap)[: config.after]]
    best = objectness.argsort(descending=True, stable=True)[: config.before]
    boxes = clip(decode(codes[best], grid[best], (1, 1, 1, 1), False), *size, False)
    kept = (boxes[:, 2:] - boxes[:, :2] > config.thinnest).all(1)
    boxes, objectness = boxes[kept], objectness[best][kept]
    return boxes[nms(boxes, objectness, config.overlap)[: config.after]]
