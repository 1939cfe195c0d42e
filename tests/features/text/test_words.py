"""SCAN's words and where they stand in the caption."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.text.words import tokenize


# Expected words by hand, after the Penn Treebank's rules (treebank tokenizer.sed): contractions, quotes and brackets
# apart, a final full stop apart, one inside a word kept.
@pytest.mark.parametrize(("caption", "words"), [
    ("Two dogs are playing in the snow.", "two dogs are playing in the snow ."),
    ("A man's hat isn't red, it's blue!", "a man 's hat is n't red , it 's blue !"),
    ("A sign reads \"STOP\" (twice).", "a sign reads `` stop '' ( twice ) ."),
    ("They cannot see; they're gonna fall...", "they can not see ; they 're gon na fall ..."),
    ("A 3-year-old at 5:30 p.m. paid $2.50", "a 3-year-old at 5:30 p.m. paid $ 2.50"),
    ("", ""),
])
def test_words_are_those_of_the_published_vocabularies(caption: str, words: str) -> None:
    assert [token.text for token in tokenize(caption)] == words.split()


def test_a_full_stop_between_sentences_stays_with_its_word() -> None:
    assert [token.text for token in tokenize("A dog. A cat.")] == ["a", "dog.", "a", "cat", "."]


def test_a_letter_whose_lower_case_is_longer_moves_nothing() -> None:
    text = "İstanbul RED ball"
    assert [text[token.start:token.end] for token in tokenize(text)] == ["İstanbul", "RED", "ball"]


MARKS = "aBc İß\"'`.,;:!?()[]{}<>&$%@#-–…“”‘’«» 0123\t\n"


@given(st.text(st.sampled_from(MARKS) | st.characters(codec="utf-8"), max_size=40))
def test_spans_cover_everything_but_white_space_in_order(text: str) -> None:
    tokens = tokenize(text)
    at = 0
    for token in tokens:
        assert text[at:token.start].strip() == ""  # only white space is skipped
        assert token.start < token.end
        place = text[token.start:token.end]
        assert place.lower() == token.text or place == '"' or "İ" in place
        at = token.end
    assert text[at:].strip() == ""
