"""Resizing as each published extractor does it: they differ in the size, in the scale and in the interpolation.

All make the shorter side ``side`` pixels long, or the longer ``longest`` where it would be longer than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

Resizer = Literal["opencv", "pillow", "torch"]


@dataclass(frozen=True)
class Target:
    """What an image becomes."""

    height: int
    width: int
    scale: tuple[float, float]
    """What takes x and y from the image to the network's input."""


def target(height: int, width: int, side: int, longest: int, resizer: Resizer) -> Target:
    """The size that an image of ``height`` x ``width`` pixels gets; never less than one pixel."""
    if resizer == "opencv":
        # Caffe's extractors (lib/fast_rcnn/test.py, _get_image_blob): one scale for both axes, sizes rounded half to
        # even by cv2.resize, whose pixels keep to that scale.
        scale = side / min(height, width)
        if round(scale * max(height, width)) > longest:
            scale = longest / max(height, width)
        return Target(max(1, round(height * scale)), max(1, round(width * scale)), (scale, scale))
    # detectron2's ResizeShortestEdge, which frcnn-vg copied: sizes rounded half up, each axis to its own scale.
    scale = side / min(height, width)
    sizes = [side if edge == min(height, width) else scale * edge for edge in (height, width)]
    if max(sizes) > longest:
        sizes = [edge * longest / max(sizes) for edge in sizes]
    new_height, new_width = (max(1, math.floor(edge + 0.5)) for edge in sizes)
    return Target(new_height, new_width, (new_width / width, new_height / height))


def resize(image: np.ndarray, size: Target, resizer: Resizer, device: torch.device) -> Tensor:
    """RGB uint8 (height, width, 3) to float32 (3, size.height, size.width), 0..255, on ``device``.

    ``pillow`` rounds to whole numbers and averages where it shrinks; the others interpolate four neighbours.
    """
    if resizer == "pillow":
        if image.shape[:2] != (size.height, size.width):
            image = np.array(Image.fromarray(image).resize((size.width, size.height), Image.Resampling.BILINEAR))
        return _planes(image, device)
    pixels = _planes(image, device)[None]
    shape = [size.height, size.width]
    if resizer == "torch":
        return functional.interpolate(pixels, shape, mode="bilinear", align_corners=False)[0]
    across, down = size.scale
    return torch.ops.aten.upsample_bilinear2d(pixels, shape, False, down, across)[0]


def _planes(image: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).float()
