"""CLEVR's questions and answers as MAC numbers them (Hudson & Manning 2018, preprocess.py).

A question loses ? ! \\ / ( ), its . , ; : become words, the rest is lower-cased and split at spaces. Numbers 0 to 3 of
a question's vocabulary are <PAD>, <UNK>, <START> and <END>; answers have none of these. Words are numbered in the order
of their first occurrence, so the published numbers come from train, val and test questions in the order of their files
(85 symbols, 28 answers on CLEVR v1.0). MAC's own pickled dictionaries hold objects, which heed does not unpickle; the
question files hold the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from features.text.symbols import Symbols
from features.text.words import Token, lower_in_place

SPECIAL = ("<PAD>", "<UNK>", "<START>", "<END>")
_DROPPED = str.maketrans("", "", "?!\\/()")


def tokenize(question: str) -> list[Token]:
    """The question's words with their places; dropped characters inside a word leave it whole."""
    matches = re.finditer(r"[.,;:]|[^ .,;:]+", lower_in_place(question))
    found = [Token(match[0].translate(_DROPPED), *match.span()) for match in matches]
    return [token for token in found if token.text]


def question_vocabulary(questions: Iterable[str]) -> Symbols:
    """Every word of the questions, after the special ones."""
    return Symbols.build((t.text for question in questions for t in tokenize(question)), SPECIAL, "<UNK>")


def answer_vocabulary(answers: Iterable[str]) -> Symbols:
    """Every answer; `Symbols.number` raises for another."""
    return Symbols.build(answers)
