"""A decoded frame as upright RGB pixels of the size asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame

Size = int | tuple[int, int] | None
"""Length of the short side in pixels; or exactly (width, height); or None, as the video is."""

_FULL_RANGE = 2
"""AVCOL_RANGE_JPEG: 0 to 255 in RGB."""


def to_rgb(frame: VideoFrame, size: Size = None) -> np.ndarray:
    """(height, width, 3) uint8 RGB, upright, resized by swscale's bicubic filter, which averages when it shrinks.

    The same numbers as ``ffmpeg -vf scale`` gives. Colours follow the frame's matrix and range, BT.601 where it says
    none. Pixels are taken as they are stored: those that are not square are not stretched.
    """
    width, height = target_size(upright_size(frame), size)
    flip_x, flip_y, transposed = _orientation(frame)
    stored = (height, width) if transposed else (width, height)
    image = frame.reformat(*stored, format="rgb24", interpolation="BICUBIC", dst_color_range=_FULL_RANGE).to_ndarray()
    if transposed:
        image = image.transpose(1, 0, 2)
    image = image[:, ::-1] if flip_x else image
    image = image[::-1] if flip_y else image
    return np.ascontiguousarray(image)


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """(width, height) of a frame once it is upright."""
    return (frame.height, frame.width) if _orientation(frame)[2] else (frame.width, frame.height)


def quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns clockwise, 0 to 3, that make a frame upright, mirroring left aside."""
    flip_x, flip_y, transposed = _orientation(frame)
    if transposed:
        return 1 if flip_x else 3
    return 2 if flip_x and flip_y else 0


def target_size(size: tuple[int, int], wanted: Size) -> tuple[int, int]:
    """(width, height) that a picture of ``size`` is resized to."""
    if wanted is None:
        return size
    if not isinstance(wanted, int):
        return wanted
    short = min(size)
    width, height = (wanted if side == short else max(1, round(side * wanted / short)) for side in size)
    return width, height


def _orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """How a stored picture becomes upright: transposed first, then flipped left to right, then upside down.

    From the display matrix (ISO 14496-12, 8.3.2): x' = a x + c y, y' = b x + d y, to the nearest quarter turn.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return a < 0, d < 0, False
    return c < 0, b < 0, True
