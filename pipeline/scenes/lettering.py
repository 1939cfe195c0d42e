"""Letters and digits made of strokes: readable from about seven pixels of height upwards, the same on every machine.

As in `fields`, only arithmetic that IEEE 754 defines to the last bit is used.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from pipeline.scenes.fields import Field, unit

# Each glyph's strokes as corners xy on a grid of 4 x 6, y downwards; "/" lifts the pen.
_STROKES = {
    "A": "06 20 46 / 14 34", "B": "33 03 00 30 41 42 33 44 45 36 06 03", "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00", "E": "40 00 06 46 / 03 33", "F": "40 00 06 / 03 33",
    "G": "41 30 10 01 05 16 36 45 43 23", "H": "00 06 / 40 46 / 03 43", "I": "20 26 / 10 30 / 16 36",
    "J": "40 45 36 16 05 04", "K": "00 06 / 40 03 46", "L": "00 06 46", "M": "06 00 23 40 46", "N": "06 00 46 40",
    "O": "10 01 05 16 36 45 41 30 10", "P": "06 00 30 41 42 33 03", "Q": "10 01 05 16 36 45 41 30 10 / 23 46",
    "R": "06 00 30 41 42 33 03 / 23 46", "S": "41 30 10 01 02 13 33 44 45 36 16 05", "T": "00 40 / 20 26",
    "U": "00 05 16 36 45 40", "V": "00 26 40", "W": "00 16 22 36 40", "X": "00 46 / 40 06", "Y": "00 23 40 / 23 26",
    "Z": "00 40 06 46",
    "0": "10 01 05 16 36 45 41 30 10 / 41 05", "1": "02 20 26 / 06 46", "2": "01 10 30 41 42 06 46",
    "3": "00 40 23 33 44 45 36 16 05", "4": "36 30 04 44", "5": "40 00 02 32 43 45 36 16 05",
    "6": "40 20 02 05 16 36 45 44 33 13 04", "7": "00 40 16",
    "8": "10 30 41 23 01 10 / 23 44 45 36 16 05 04 23", "9": "06 26 44 41 30 10 01 02 13 33 42",
}
CHARACTERS = "".join(_STROKES)
"""What can be written."""
ADVANCE = 0.8
"""From one letter to the next, as a fraction of a letter's height."""
WIDTH = 0.55
"""Of a letter, as a fraction of its height, between the middles of its strokes."""
_PEN = 0.16


def line_width(text: str) -> float:
    """Width of a line of text as a fraction of its letters' height."""
    return ADVANCE * (len(text) - 1) + WIDTH + _PEN


@lru_cache(maxsize=512)
def glyph(character: str, height: int) -> Field:
    """How much ink is on each pixel of a letter ``height`` pixels high; a margin of two pixels all around."""
    scale = height * (1 - _PEN)
    rows, columns = height + 4, round(height * (WIDTH + _PEN)) + 4
    x = (np.arange(columns, dtype=np.float32) + np.float32(0.5 - columns / 2) + np.float32(scale * WIDTH / 2))[None, :]
    y = (np.arange(rows, dtype=np.float32) + np.float32(0.5 - rows / 2) + np.float32(scale / 2))[:, None]
    nearest = np.full((rows, columns), np.float32(1e9))
    for stroke in _STROKES[character].split("/"):
        corners = [(int(c[0]) * scale * WIDTH / 4, int(c[1]) * scale / 6) for c in stroke.split()]
        for (ax, ay), (bx, by) in pairwise(corners):
            dx, dy = bx - ax, by - ay
            along = unit(((x - ax) * dx + (y - ay) * dy) * np.float32(1 / (dx * dx + dy * dy)))
            off_x, off_y = x - ax - along * dx, y - ay - along * dy
            np.minimum(nearest, off_x * off_x + off_y * off_y, out=nearest)
    return unit(np.float32(max(_PEN * height, 1.15) / 2 + 0.5) - np.sqrt(nearest))


def write_line(canvas: Field, text: str, x: float, y: float, height: float, ink: Field) -> tuple[float, ...]:
    """Write a line in the middle of x, y, over the canvas (3, size, size), in place; lengths are fractions of the side.

    Letters stand on whole pixels and are whole pixels high. Gives the line's box, xyxy as fractions of the side.
    """
    size = canvas.shape[1]
    high = letter_pixels(height, size)
    left, top, right, bottom = (edge * size for edge in line_box(text, x, y, height, size))
    for i, character in enumerate(text):
        shape = glyph(character, high)
        column = round(left + ADVANCE * high * i) - 2
        row = round(top) - 2
        patch = canvas[:, row:row + shape.shape[0], column:column + shape.shape[1]]
        patch += (ink - patch) * shape[:patch.shape[1], :patch.shape[2]]
    return left / size, top / size, right / size, bottom / size


def letter_pixels(height: float, size: int) -> int:
    """Pixels a letter of this height, a fraction of the side, is high in a picture of ``size`` pixels."""
    return max(5, round(height * size))


def line_box(text: str, x: float, y: float, height: float, size: int) -> tuple[float, float, float, float]:
    """xyxy of a line written in the middle of x, y, as fractions of the side."""
    high = letter_pixels(height, size) / size
    wide = line_width(text) * high
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2
