"""Pictures as AttnGAN trains on them (Xu et al. 2018, released code): cropped, enlarged, cut out, mirrored.

Equal to torchvision's transforms on Pillow images, pixel for pixel, with the random choices given by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Cut:
    """Which square is cut out of an enlarged picture: fractions in 0..1 of the room there is, and whether mirrored."""

    left: float = 0.5
    top: float = 0.5
    mirrored: bool = False


def around(width: int, height: int, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The square about the middle of a box (x, y, width, height), 1.5 times as wide as its longer side: xyxy pixels.

    Cut off at the edges of the image (width, height).
    """
    x, y, w, h = box
    radius, middle_x, middle_y = int(max(w, h) * 0.75), (2 * x + w) // 2, (2 * y + h) // 2
    return (max(0, middle_x - radius), max(0, middle_y - radius),
            min(width, middle_x + radius), min(height, middle_y + radius))


def shorter_side(image: Image.Image, side: int) -> Image.Image:
    """Scaled, bilinear, so that the shorter side has ``side`` pixels and the proportions stay."""
    short, long = sorted(image.size)
    if short == side:
        return image
    other = int(side * long / short)
    return image.resize((side, other) if image.width <= image.height else (other, side), Image.Resampling.BILINEAR)


def squares(pixels: np.ndarray, sizes: tuple[int, ...], box: tuple[int, int, int, int] | None = None,
            cut: Cut | None = None, enlarge: bool = True) -> list[np.ndarray]:
    """A picture (height, width, 3) uint8 as squares of ascending ``sizes``: (size, size, 3) uint8 each.

    The largest is ``cut`` out of the picture, whose shorter side is 76/64 of the square's, or the same unless
    ``enlarge``; out of the middle without a cut. The smaller ones are scaled from it.
    """
    image = Image.fromarray(pixels)
    if box is not None:
        image = image.crop(around(image.width, image.height, box))
    side = sizes[-1]
    image = shorter_side(image, int(side * 76 / 64) if enlarge else side)
    cut = cut or Cut()
    left, top = (min(int(where * (room + 1)), room)
                 for where, room in ((cut.left, image.width - side), (cut.top, image.height - side)))
    image = image.crop((left, top, left + side, top + side))
    if cut.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return [np.asarray(shorter_side(image, size)) for size in sizes]
