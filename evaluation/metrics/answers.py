"""Soft accuracy and ANLS of short answers, with the normalisation of the VQA challenge.

`vqa_accuracy` is the official VQA v2 evaluation (`vqaEval.py`, Antol et al. 2015): an answer counts min(1, n / 3), n of
the *other* nine people having given it, averaged over leaving each person out; normalised only where the ten people do
not all say the same. `text_vqa_accuracy` is TextVQA's (Singh et al. 2019; `m4c_evaluators.py` of MMF), which always
normalises, and first drops commas and question marks and splits off 's. `anls` is ST-VQA's (Biten et al. 2019).

Kept from the published code, because the figures are made with them: a full stop is removed unless a digit follows (the
look-behind that was meant is mistyped), at most 32 in an answer; and "somebody'd" becomes "somebodyd".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBERS = {"none": "0"} | {word: str(value) for value, word in enumerate(
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))}
_ARTICLES = {"a", "an", "the"}
_ONE_APOSTROPHE = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's "
    "isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've "
    "shouldn't somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd "
    "there're there's they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've "
    "when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all "
    "you'd you'll you're you've"
)
_MORE_APOSTROPHES = (
    "couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've someone'd've "
    "something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've"
)
_CONTRACTIONS = (
    {word.replace("'", ""): word for word in _ONE_APOSTROPHE.split()}
    | {word[:place] + word[place + 1:]: word for word in _MORE_APOSTROPHES.split()
       for place, letter in enumerate(word) if letter == "'"}
    | {"somebody'd": "somebodyd"}
)
"""Spellings with an apostrophe left out -> the right one."""
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_MOST_STOPS = 32


def normalised(answer: str) -> str:
    """An answer as the VQA challenge compares it: punctuation, number words, articles, contractions."""
    out = answer
    apart = _DIGIT_COMMA.search(answer) is not None
    for mark in _PUNCTUATION:
        out = out.replace(mark, "" if apart or f"{mark} " in answer or f" {mark}" in answer else " ")
    out = _FULL_STOP.sub("", out, _MOST_STOPS)
    words = [_NUMBERS.get(word, word) for word in out.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def text_normalised(answer: str) -> str:
    """An answer as TextVQA's evaluation compares it."""
    answer = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return normalised(_one_line(answer))


def soft_accuracy(answer: str, people: Sequence[str]) -> float:
    """Mean over leaving each person out of min(1, how many of the others gave the answer / 3); 0 … 1."""
    given = sum(other == answer for other in people)
    without = [min(1.0, (given - (other == answer)) / 3) for other in people]
    return sum(without) / len(without)


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """VQA v2's accuracy of one answer, 0 … 1; ``people`` are usually ten answers."""
    answer, people = _one_line(answer), [_one_line(other) for other in people]
    if len(set(people)) > 1:
        answer, people = normalised(answer), [normalised(other) for other in people]
    return soft_accuracy(answer, people)


def text_vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """TextVQA's accuracy of one answer, 0 … 1."""
    return soft_accuracy(text_normalised(answer), [text_normalised(other) for other in people])


def anls(answer: str, people: Sequence[str]) -> float:
    """Normalised Levenshtein similarity to the nearest answer, 0 below one half; 0 … 1. No normalisation but case."""
    return max(_similarity(answer.lower().strip(), other.lower().strip()) for other in people)


def _similarity(first: str, second: str) -> float:
    longest = max(len(first), len(second))
    similar = 1 - edit_distance(first, second) / longest if longest else 1.0
    return similar if similar >= 0.5 else 0.0


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(second) + 1))
    for place, letter in enumerate(first, 1):
        diagonal, row[0] = row[0], place
        for other, wanted in enumerate(second, 1):
            diagonal, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, diagonal + (letter != wanted))
    return row[-1]


def _one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()
