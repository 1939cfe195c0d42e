"""Words and their numbers, as the published vocabularies of AttnGAN, MAC and M4C are.

SCAN's, with its own file layout, is `features.text.vocabulary.Vocabulary`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from features.errors import HeedError


@dataclass(frozen=True)
class Symbols:
    """Words numbered from 0."""

    words: tuple[str, ...]
    """All words in the order of their numbers, special ones first."""
    unknown: str = ""
    """The word that stands for those that are not here; "" where there is none."""

    def __post_init__(self) -> None:
        if len(self.numbers) != len(self.words):
            double = next(word for word, count in Counter(self.words).items() if count > 1)
            raise HeedError(f"the vocabulary holds {double!r} more than once")
        if self.unknown and self.unknown not in self.numbers:
            raise HeedError(f"the vocabulary lacks {self.unknown!r}, which stands for words that it lacks")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of every word."""
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def number(self, word: str) -> int:
        """A word's number, or that of ``unknown``; `HeedError` where there is neither."""
        found = self.numbers.get(word, self.numbers.get(self.unknown))
        if found is None:
            raise HeedError(f"the vocabulary of {len(self.words)} words has no {word!r} and no word for unknown ones")
        return found

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """Numbers of the words: (n,) int64."""
        return np.array([self.number(word) for word in words], np.int64)

    def decode(self, numbers: Sequence[int] | np.ndarray) -> list[str]:
        """Words of the numbers."""
        return [self.words[number] for number in numbers]

    def save(self, path: Path) -> None:
        """Write one word a line."""
        path.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, unknown: str = "") -> Symbols:
        """Read one word a line, stripped; raises `HeedError` where that is not to be had."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise HeedError(f"The vocabulary {path} cannot be read: {error}.") from error
        return cls(tuple(line.strip() for line in text.removesuffix("\n").split("\n")), unknown)

    @classmethod
    def build(cls, words: Iterable[str], special: Sequence[str] = (), unknown: str = "") -> Symbols:
        """The special words, then every other in the order of its first occurrence."""
        return cls(tuple(dict.fromkeys((*special, *words))), unknown)
