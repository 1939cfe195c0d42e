"""Words to numbers and back, in the JSON layout of SCAN's published vocabularies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from features.errors import HeedError
from features.text.words import tokenize

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")


@dataclass(frozen=True)
class EncodedCaption:
    """A caption as a model reads it: <start>, its words, <end>."""

    ids: np.ndarray
    """(n,) int64 word numbers."""
    tokens: tuple[str, ...]
    """The n words, also those the vocabulary does not know, between "<start>" and "<end>"."""
    spans: np.ndarray
    """(n, 2) int32: first character and one past the last, in the caption as given; (-1, -1) for <start> and <end>."""


@dataclass(frozen=True)
class Vocabulary:
    """The words a model knows. Numbers 0 to 3 are <pad>, <start>, <end> and <unk>, as in SCAN."""

    words: tuple[str, ...]
    """All words in the order of their numbers, special ones first."""

    def __post_init__(self) -> None:
        if self.words[:len(SPECIAL)] != SPECIAL:
            raise HeedError(f"a vocabulary begins with {', '.join(SPECIAL)}; this one with {', '.join(self.words[:4])}")
        if len(self.numbers) != len(self.words):
            double = next(word for word, count in Counter(self.words).items() if count > 1)
            raise HeedError(f"the vocabulary holds {double!r} more than once")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of every word."""
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 4) -> Vocabulary:
        """The words that occur at least ``min_count`` times (4 in SCAN), in the order of their first occurrence."""
        counts = Counter(token.text for caption in captions for token in tokenize(caption))
        return cls((*SPECIAL, *(word for word, count in counts.items() if count >= min_count and word not in SPECIAL)))

    def number(self, word: str) -> int:
        """A word's number; that of <unk> for a word that is not known."""
        return self.numbers.get(word, UNKNOWN)

    def encode(self, caption: str) -> EncodedCaption:
        """Tokenise a caption (`features.text.words.tokenize`) and number its words, between <start> and <end>."""
        tokens = tokenize(caption)
        return EncodedCaption(
            ids=np.array([START, *(self.number(token.text) for token in tokens), END], np.int64),
            tokens=(SPECIAL[START], *(token.text for token in tokens), SPECIAL[END]),
            spans=np.array([(-1, -1), *((token.start, token.end) for token in tokens), (-1, -1)], np.int32),
        )

    def decode(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """The words of the given numbers."""
        return [self.words[number] for number in ids]

    def save(self, path: Path) -> None:
        """Write SCAN's layout: {"word2idx": {word: number}, "idx2word": {"number": word}, "idx": how many}."""
        layout = {"word2idx": self.numbers, "idx2word": dict(enumerate(self.words)), "idx": len(self.words)}
        path.write_text(json.dumps(layout, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read such a file; raises `HeedError` where it is absent, not in that layout, or disagrees with itself."""
        try:
            layout = json.loads(path.read_text(encoding="utf-8"))
            numbers, size = dict(layout["word2idx"]), int(layout["idx"])
            by_number = {int(number): word for number, word in layout["idx2word"].items()}
        except OSError as error:
            raise HeedError(f"cannot read the vocabulary {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HeedError(f"{path} is no vocabulary in SCAN's layout (word2idx, idx2word, idx): {error!r}") from error
        if sorted(by_number) != list(range(size)) or numbers != {word: n for n, word in by_number.items()}:
            raise HeedError(f"{path}: word2idx, idx2word and idx disagree; build the vocabulary again")
        return cls(tuple(by_number[number] for number in range(size)))
