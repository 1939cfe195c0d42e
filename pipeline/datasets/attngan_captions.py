"""AttnGAN's captions.pickle: the vocabulary that its published DAMSM encoders were trained with, and numbered captions.

A pickled list [train captions, test captions, {number: word}, {word: number}], written by Python 2; captions are lists
of word numbers, image by image, 10 an image for the birds and 5 for COCO. Read without running anything in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import HeedError
from features.restricted import load, text
from features.text.attngan import END
from features.text.symbols import Symbols


@dataclass(frozen=True)
class NumberedCaptions:
    """The content of a captions.pickle."""

    vocabulary: Symbols
    """Number 0 is <end>."""
    train: list[list[int]]
    test: list[list[int]]


def read_pickle(path: str | Path) -> NumberedCaptions:
    """Read the file; raises `HeedError` where it is absent, damaged, names code, or disagrees with itself."""
    path = Path(path)
    try:
        value = load(path.read_bytes())
        train, test, by_number, numbers = value
        words = tuple(text(by_number[number], "a word") for number in range(len(by_number)))
        if {text(word, "a word"): number for word, number in numbers.items()} != {w: n for n, w in enumerate(words)}:
            raise HeedError("its two dictionaries disagree")
        if not words or words[0] != END:
            raise HeedError(f"number 0 is {words[0] if words else 'missing'!r}, not {END!r}")
        return NumberedCaptions(Symbols(words), _captions(train, len(words)), _captions(test, len(words)))
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (HeedError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise HeedError(f"{path} is not AttnGAN's captions.pickle: {error}.") from error


def _captions(value: Any, words: int) -> list[list[int]]:
    captions = [[int(number) for number in caption] for caption in value]
    if not all(0 <= number < words for caption in captions for number in caption):
        raise HeedError("a caption has a number that stands for no word")
    return captions
