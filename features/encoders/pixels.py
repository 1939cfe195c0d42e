"""Frames as a network's input: resized, cropped in the middle, normalised.

Done on each frame alone, with Pillow, which averages when it shrinks, as the image models were trained; or with
bilinear interpolation that does not, as torchvision's video models were.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from features.errors import HeedError

Filter = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


@dataclass(frozen=True)
class Pixels:
    """The steps, in their order."""

    resize: int | tuple[int, int]
    """Length of the short side, the long one in proportion and rounded down; or exactly (height, width)."""
    crop: tuple[int, int]
    """Height and width of the middle that is kept."""
    mean: tuple[float, ...]
    """Of red, green and blue, taken off values of 0 to 1."""
    std: tuple[float, ...]
    """Which they are divided by then."""
    filter: Filter = "bicubic"
    antialias: bool = True
    """False is torch's bilinear interpolation of single points, rounded to 8 bits."""

    def __post_init__(self) -> None:
        resized = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if resized[0] < self.crop[0] or resized[1] < self.crop[1]:
            raise HeedError(f"The network asks for a middle of {self.crop} from frames resized to {self.resize}, which "
                            "is larger than they are; heed does not fill up frames.")

    def to_json(self) -> dict[str, Any]:
        """For a store's identity."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """The (crop height, crop width, 3) uint8 middle of a resized (height, width, 3) uint8 frame.

        It may run in any thread: most of its time is spent outside Python's lock.
        """
        height, width = self._resized(*image.shape[:2])
        if (height, width) != image.shape[:2]:
            image = self._resize(image, height, width)
        top, left = round((height - self.crop[0]) / 2), round((width - self.crop[1]) / 2)
        return np.ascontiguousarray(image[top:top + self.crop[0], left:left + self.crop[1]])

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        if height <= width:
            return self.resize, math.floor(self.resize * width / height)
        return math.floor(self.resize * height / width), self.resize

    def _resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        if self.antialias:
            filter = Image.Resampling[self.filter.upper()]
            return np.asarray(Image.fromarray(image).resize((width, height), filter))
        points = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        points = torch.nn.functional.interpolate(points, (height, width), mode=self.filter, align_corners=False)
        return points[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()

    def normalise(self, frames: Tensor) -> Tensor:
        """(…, height, width, 3) uint8 as (…, 3, height, width) float32."""
        values = frames.movedim(-1, -3).float().div(255)
        mean, std = (torch.tensor(of, device=frames.device)[:, None, None] for of in (self.mean, self.std))
        return values.sub_(mean).div_(std)
