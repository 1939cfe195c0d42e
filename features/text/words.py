"""The words of a caption, as SCAN's vocabularies were made, with their places in the text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Token:
    """One word, lower-case, and where it stands: text[start:end] of the caption as given."""

    text: str
    """Lower-case; a straight double quote reads `` where it opens and '' where it closes, the tokeniser's convention.
    """
    start: int
    """First character."""
    end: int
    """One past the last character."""


def tokenize(text: str) -> list[Token]:
    """Split a caption into lower-case Penn Treebank words, in order and without overlap; empty text gives none.

    SCAN (kuanghuei/SCAN, vocab.py and data.py) calls NLTK's ``word_tokenize`` on the lower-cased caption. That is
    NLTK's NLTKWordTokenizer on each sentence found by the Punkt model, which needs a downloaded data file. Here the
    caption is taken as one sentence, which needs none. The only difference: a full stop inside a caption of several
    sentences stays with its word ("a dog. a cat." gives "dog." and then "cat", "."), where ``word_tokenize`` cuts it
    off.
    """
    tokens, at = [], 0
    lower = lower_in_place(text)
    for word in _tokenizer().tokenize(lower):
        start, end = _find(lower, word, at)
        tokens.append(Token(word, start, end))
        at = end
    return tokens


def _find(text: str, word: str, at: int) -> tuple[int, int]:
    """The span of the next word; one that reads `` or '' may be a straight quote in the text."""
    start = text.find(word, at)
    quote = text.find('"', at) if word in ("``", "''") else -1
    if quote >= 0 and (start < 0 or quote < start):
        return quote, quote + 1
    return start, start + len(word)


def lower_in_place(text: str) -> str:
    """Lower-case with every character in its place: those few whose lower case is longer ("İ") are left as they are."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # importing nltk takes about a second: not before it is needed

    return NLTKWordTokenizer()
