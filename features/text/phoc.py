"""Pyramidal histogram of characters: a word's spelling as 604 zeros and ones, what M4C tells an OCR word by.

Almazan et al. 2014, "Word Spotting and Recognition with Embedded Attributes", §3.1: character i of n occupies
[i / n, (i + 1) / n) of the word; it belongs to each region of a level's equal parts in which half of it or more lies.
Levels 2, 3, 4 and 5 of 36 characters, then level 2 of the 50 commonest pairs of English letters: 14 * 36 + 2 * 50.
Equal, bit for bit and in the order of its numbers, to the C extension of M4C's published code (cphoc.c), which compares
single-precision fractions.
"""

from __future__ import annotations

import numpy as np

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PAIRS = (
    "th", "he", "in", "er", "an", "re", "es", "on", "st", "nt", "en", "at", "ed", "nd", "to", "or", "ea", "ti", "ar",
    "te", "ng", "al", "it", "as", "is", "ha", "et", "se", "ou", "of", "le", "sa", "ve", "ro", "ra", "ri", "hi", "ne",
    "me", "de", "co", "ta", "ec", "si", "ll", "so", "na", "li", "la", "el",
)
LEVELS = (2, 3, 4, 5)
DIM = sum(LEVELS) * len(CHARACTERS) + 2 * len(PAIRS)
"""604."""


def phoc(word: str) -> np.ndarray:
    """The histogram of a word: (604,) float32 of zeros and ones, zero for a word without letters and digits.

    The word is lower-cased and stripped of everything but a to z and 0 to 9 first, as published.
    """
    word = "".join(c for c in word.lower().strip() if c in CHARACTERS)
    out = np.zeros(DIM, np.float32)
    place = 0
    letters = [(i, CHARACTERS.index(c)) for i, c in enumerate(word)]
    for level in LEVELS:
        place = _fill(out, place, letters, 1, len(word), level, len(CHARACTERS))
    pairs = [(i, PAIRS.index(word[i:i + 2])) for i in range(len(word) - 1) if word[i:i + 2] in PAIRS]
    _fill(out, place, pairs, 2, len(word), 2, len(PAIRS))
    return out


def _fill(
    out: np.ndarray, place: int, found: list[tuple[int, int]], width: int, length: int, regions: int, symbols: int
) -> int:
    """Mark (position, symbol) pairs of one level in ``out`` from ``place``; where the next level begins."""
    edges = np.arange(regions + 1, dtype=np.float32) / np.float32(regions)
    for position, symbol in found:
        start, end = np.float32(position) / np.float32(length), np.float32(position + width) / np.float32(length)
        overlap = np.minimum(end, edges[1:]) - np.maximum(start, edges[:-1])
        inside = overlap / (end - start) >= np.float32(0.5)
        out[place + np.flatnonzero(inside) * symbols + symbol] = 1
    return place + regions * symbols
