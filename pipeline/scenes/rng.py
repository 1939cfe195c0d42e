"""Random numbers that are the same on every machine and in every version of every library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


def _mix(z: int) -> int:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): 64 bits in, 64 well-stirred bits out."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


class Random:
    """A SplitMix64 stream that is a pure function of the integers it is made from: ``Random(seed, index, purpose)``.

    numpy promises its `Generator` streams for one version only, and a dataset has to outlive versions.
    """

    def __init__(self, *keys: int):
        self._state = 0
        for key in keys:
            self._state = _mix((self._state + key + 0x9E3779B97F4A7C15) & _MASK)

    def bits(self) -> int:
        """The next 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        return _mix(self._state)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high) with 53 random bits."""
        return low + (high - low) * (self.bits() >> 11) * 2.0**-53

    def integer(self, n: int) -> int:
        """An integer in 0..n-1 (the bias of at most n / 2^64 does not matter here)."""
        return (self.bits() * n) >> 64

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[self.integer(len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher and Yates)."""
        order = list(items)
        for i in range(len(order) - 1, 0, -1):
            j = self.integer(i + 1)
            order[i], order[j] = order[j], order[i]
        return order
