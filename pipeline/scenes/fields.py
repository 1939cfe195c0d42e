"""What pictures are made of: fields over the unit square, blended and stepped.

Everything is float32. Only + - * /, square roots, rounding and comparisons are used, which IEEE 754 defines to the last
bit: the same pixels on every machine. Helpers work in place on their own temporaries, for at these sizes an array's
allocation costs as much as the sum.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipeline.scenes.rng import Random

Field = np.ndarray
"""(height, width) float32, or (3, height, width) where it is a picture; broadcasts against either."""

_ZERO, _ONE = np.float32(0), np.float32(1)


def colour(code: str) -> Field:
    """"#rrggbb" as (3, 1, 1) float32, 0..1."""
    return np.array([int(code[i:i + 2], 16) for i in (1, 3, 5)], np.float32).reshape(3, 1, 1) / np.float32(255)


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Field, Field]:
    """x of shape (1, size) and y of shape (size, 1): pixel centres as fractions of the side."""
    line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return line[None, :], line[:, None]


def unit(field: Field) -> Field:
    """Clamp to 0..1, in place."""
    return field.clip(_ZERO, _ONE, out=field)


def mix(a: Field, b: Field, amount: Field) -> Field:
    """a where ``amount`` is 0, b where it is 1; a new array."""
    blend = (b - a) * amount
    blend += a
    return blend


def smooth(field: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, a smooth step between (``low`` > ``high`` runs the other way)."""
    t = field - low
    t *= 1 / (high - low)
    unit(t)
    step = t * -2
    step += 3
    step *= t
    step *= t
    return step


def wave(field: Field) -> Field:
    """A wave of period 1 between -1 and 1, as near to a sine as two parabolas come."""
    part = field - np.floor(field)
    part -= 0.5
    rest = np.abs(part)
    rest *= -16
    rest += 8
    rest *= part
    return rest


@lru_cache(maxsize=128)
def noise(size: int, columns: int, rows: int, variant: int) -> Field:
    """(size, size) smooth noise, -1..1, on a lattice of columns x rows; cached, so ask for few variants."""
    random = Random(variant, columns, rows, 77)
    values = np.array([random.uniform(-1, 1) for _ in range((rows + 1) * (columns + 1))], np.float32)
    values = values.reshape(rows + 1, columns + 1)

    def steps(cells: int) -> tuple[Field, Field]:
        place = grid(size)[0].ravel() * cells
        cell = np.floor(place)
        return cell.astype(np.int64), smooth(place - cell, 0, 1)

    (column, right), (row, down) = steps(columns), steps(rows)
    wide = mix(values[:, column], values[:, column + 1], right)
    return mix(wide[row], wide[row + 1], down[:, None])
