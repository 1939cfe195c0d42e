"""Values of different lengths in one array, and which of its places are padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def padding_mask(lengths: np.ndarray, longest: int) -> np.ndarray:
    """(batch, longest) bool, True where there is a value and False behind each one's last."""
    return np.arange(longest) < np.asarray(lengths)[:, None]


@dataclass(frozen=True)
class Padded:
    """One field of a batch."""

    values: np.ndarray
    """In the store's number type, zero where there is nothing: (batch, longest, …) of a ragged field, (batch, …) of one
    of fixed size; strings, bytes and sequences of files as objects, (batch,)."""
    lengths: np.ndarray
    """(batch,) int64: number of elements or files; of a field of fixed size 1, or 0 where the store has no row."""
    ragged: bool = True
    """Whether ``values`` are padded along their second axis."""

    @property
    def mask(self) -> np.ndarray:
        """True where there is a value: (batch, longest) bool of a ragged field, (batch,) of one of fixed size."""
        return padding_mask(self.lengths, self.values.shape[1]) if self.ragged else self.lengths > 0
