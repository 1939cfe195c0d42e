"""PHOC against M4C's C extension (golden/phoc.json: word -> places that are 1) and against its definition."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.text.phoc import CHARACTERS, DIM, LEVELS, PAIRS, phoc

GOLDEN = json.loads((Path(__file__).parent / "golden" / "phoc.json").read_text())


def test_every_word_has_the_bits_of_the_published_extension() -> None:
    assert DIM == 604 and len(GOLDEN) > 150
    for word, places in GOLDEN.items():
        assert np.flatnonzero(phoc(word)).tolist() == places, word


def test_a_short_word_by_hand() -> None:
    bits = set(np.flatnonzero(phoc("th")).tolist())
    t, h, pair = CHARACTERS.index("t"), CHARACTERS.index("h"), PAIRS.index("th")
    assert {t, 36 + h} <= bits and not {h, 36 + t} & bits  # level 2: each letter fills one half
    # The pair spans the word, so half of it lies in each half.
    assert {504 + pair, 554 + pair} <= bits


def test_words_without_letters_are_zero_and_case_and_marks_do_not_matter() -> None:
    assert not phoc("-- ?!").any() and not phoc("").any() and phoc("日本").sum() == 0
    assert (phoc(" St-Op! ") == phoc("stop")).all()


@given(st.text(CHARACTERS, min_size=1, max_size=16))
def test_a_character_is_in_each_region_that_holds_half_of_it(word: str) -> None:
    bits, place = phoc(word), 0
    for level in LEVELS:
        for region in range(level):
            for c in set(word):
                shares = [min(Fraction(i + 1, len(word)), Fraction(region + 1, level))
                          - max(Fraction(i, len(word)), Fraction(region, level)) for i, w in enumerate(word) if w == c]
                share = max(shares) * len(word)
                if share != Fraction(1, 2):  # there single precision decides
                    assert bits[place + region * 36 + CHARACTERS.index(c)] == (share > Fraction(1, 2))
        place += 36 * level
