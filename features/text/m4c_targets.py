"""What M4C is trained to say: an answer's words found in the vocabulary and among the words of the image.

An *entry* is a number: below the vocabulary's size one of its words, from there on an OCR word's place. The rules are
those of sam-textvqa's `M4CAnswerProcessor` and MMF's: at the first step the soft score of the best answer that begins
with an entry; later 1 for the next word of one sequence, drawn from all that spell an answer, which also is what the
model is told it has said. MMF takes only the drawn entry for right, sam-textvqa every entry of the same word too, but
its code misses the other places of a word that is seen twice where one of those was drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Literal

import numpy as np

from features.text.m4c import END, START, clean
from features.text.symbols import Symbols

MOST_SEQUENCES = 20
"""Of one answer."""
Rule = Literal["identical", "published", "sampled"]


@dataclass(frozen=True)
class AnswerEntries:
    """What may be said to one question."""

    words: tuple[str, ...]
    """The OCR words that can be pointed at, cleaned."""
    first: dict[int, float]
    """Entry -> soft score at the first step, 0 … 1."""
    sequences: tuple[tuple[int, ...], ...]
    """Sequences of entries that spell an answer, as often as people gave it; empty where none can be spelled."""


@dataclass(frozen=True)
class Steps:
    """One question's decoding steps."""

    previous: np.ndarray
    """(steps,) int64: the entry said before each, <s> first."""
    right: tuple[dict[int, float], ...]
    """For each step entry -> target."""


def answer_entries(answers: Sequence[str], words: Sequence[str], vocabulary: Symbols) -> AnswerEntries:
    """Every way to say one of the people's ``answers``; ``words`` are the image's, no more than can be pointed at."""
    told = [clean(answer) for answer in answers]
    seen = tuple(clean(word) for word in words)
    places = _places(seen, len(vocabulary))
    first: dict[int, float] = {}
    sequences: list[tuple[int, ...]] = []
    ways = {answer: _spellings(answer, places, vocabulary) for answer in set(told)}
    for answer in told:
        given = told.count(answer)
        # Each of the people in turn left out: n - 1 or n of the others gave the answer.
        score = (given * min(1, (given - 1) / 3) + (len(told) - given) * min(1, given / 3)) / len(told)
        sequences += ways[answer]
        for sequence in ways[answer]:
            first[sequence[0]] = max(first.get(sequence[0], 0.0), score)
    return AnswerEntries(seen, first, tuple(sequences))


def draw_steps(entries: AnswerEntries, vocabulary: Symbols, random: np.random.Generator, most: int,
               rule: Rule = "identical") -> Steps:
    """The steps of one sequence drawn uniformly; at most ``most``, and none where no answer can be spelled."""
    if not entries.sequences:
        return Steps(np.zeros(0, np.int64), ())
    sequence = entries.sequences[random.integers(len(entries.sequences))]
    said = (vocabulary.number(START), *sequence)[:most]
    places = _places(entries.words, len(vocabulary))
    wanted = (*sequence, vocabulary.number(END))[1:len(said)]
    later = tuple(dict.fromkeys(_same(next_, entries.words, places, vocabulary, rule), 1.0) for next_ in wanted)
    return Steps(np.array(said, np.int64), (entries.first, *later))


def _places(words: Sequence[str], size: int) -> dict[str, list[int]]:
    """Word -> its entries among the OCR words."""
    places = defaultdict(list)
    for place, word in enumerate(words):
        places[word].append(size + place)
    return places


def _spellings(answer: str, places: dict[str, list[int]], vocabulary: Symbols) -> list[tuple[int, ...]]:
    """The first `MOST_SEQUENCES` sequences, cut after each word; none where a word is in neither list."""
    found: list[tuple[int, ...]] = [()]
    for word in answer.split():
        known = [vocabulary.numbers[word]] if word in vocabulary.numbers else []
        entries = known + places.get(word, [])
        found = list(islice(((*before, entry) for before, entry in product(found, entries)), MOST_SEQUENCES))
    return [] if found == [()] else found


def _same(
    entry: int, words: Sequence[str], places: dict[str, list[int]], vocabulary: Symbols, rule: Rule
) -> set[int]:
    """Entries that are as right as ``entry``, itself among them."""
    if rule == "sampled":
        return {entry}
    copied = entry >= len(vocabulary)
    word = words[entry - len(vocabulary)] if copied else vocabulary.words[entry]
    known = {vocabulary.numbers[word]} if word in vocabulary.numbers else set()
    return {entry} | known | (set() if copied and rule == "published" else set(places.get(word, [])))
