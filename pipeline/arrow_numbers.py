"""Arrow arrays of numbers as NumPy arrays, without a copy and without pandas.

`pyarrow.Array.to_numpy` imports pandas where that is installed: half a second and 30 MB, for nothing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def numbers(array: pa.Array) -> np.ndarray:
    """A read-only view of an array of numbers, (len(array),); `ValueError` where it has nulls or too short a buffer."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.zeros(0, dtype)
    if array.null_count:
        raise ValueError(f"{array.null_count} of {len(array)} values are missing")
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
