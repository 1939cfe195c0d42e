"""Features as int8 with a scale for each box: half the bytes of float16 at an error of at most half a scale.

A box's scale is its largest number's magnitude / 127, cut to 17 significant bits. Any product of it with an int8 number
then has at most 24 and is exact in float32, so that features read from a store and stored again give the same bytes.
"""

from __future__ import annotations

import numpy as np

LARGEST = 127
BITS = 17
TINY = np.finfo(np.float32).tiny
"""The least scale: below it float32 loses bits. A box of zeros has it, too."""
_AT_ONCE = 1024
"""Rows scaled at once, in float64: a film's frames are many."""


def scaled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, …) finite floats as (n, …) int8 and (n,) float32 scales; each value is its number times its row's scale."""
    numbers, scales = np.empty(values.shape, np.int8), np.empty(len(values), np.float32)
    for start in range(0, len(values), _AT_ONCE):
        some = values[start:start + _AT_ONCE].astype(np.float64)
        flat = some.reshape(len(some), -1)
        mantissas, exponents = np.frexp(np.abs(flat).max(axis=1, initial=0) / LARGEST)
        found = np.maximum(np.ldexp(np.floor(np.ldexp(mantissas, BITS)), exponents - BITS), TINY)
        numbers[start:start + _AT_ONCE] = np.rint(flat / found[:, None]).reshape(some.shape)
        scales[start:start + _AT_ONCE] = found
    return numbers, scales


def unscaled(numbers: np.ndarray, scales: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The values of (n, …) int8 numbers with (n,) scales, float32, exactly; written to ``out`` where given."""
    out = np.empty(numbers.shape, np.float32) if out is None else out
    out[...] = numbers  # widening first and scaling in place is three times as fast as one mixed product
    out *= scales.reshape(-1, *[1] * (numbers.ndim - 1))
    return out

