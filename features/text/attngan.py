r"""Captions as AttnGAN reads them (Xu et al. 2018): lower-case runs of \w, without characters that ASCII lacks.

Its vocabulary keeps every word of the train and test captions; number 0 is <end> and pads. In the published
captions.pickle (`pipeline.datasets.attngan_captions`) the others stand in the order in which Python 2 walked a
dictionary; built here, in the order of their first occurrence. Weights of the one do not fit the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from features.text.symbols import Symbols
from features.text.words import Token, lower_in_place

END = "<end>"


def tokenize(caption: str) -> list[Token]:
    """The caption's words with their places; a word of which ASCII keeps nothing is left out."""
    lower = lower_in_place(caption)
    found = [Token(match[0].encode("ascii", "ignore").decode(), *match.span()) for match in re.finditer(r"\w+", lower)]
    return [token for token in found if token.text]


def build(captions: Iterable[str]) -> Symbols:
    """The vocabulary of all ``captions``, train first, then test."""
    return Symbols.build((token.text for caption in captions for token in tokenize(caption)), (END,))


def encode(caption: str, vocabulary: Symbols) -> np.ndarray:
    """Numbers of the caption's words, (n,) int64; words the vocabulary lacks are left out, as published."""
    words = (token.text for token in tokenize(caption))
    return vocabulary.encode([word for word in words if word in vocabulary.numbers])


def choose(numbers: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """``numbers`` padded with 0 to ``most`` (WORDS_NUM), or that many of them chosen at random, in their order."""
    if len(numbers) > most:
        return numbers[np.sort(rng.permutation(len(numbers))[:most])]
    return np.pad(numbers, (0, most - len(numbers)))
