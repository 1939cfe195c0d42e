"""Goldens: what sam-textvqa's M4CAnswerProcessor gave for drawn answers and words, with each choice fixed."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.text.m4c import END, PAD, START, UNKNOWN
from features.text.m4c_targets import answer_entries, draw_steps
from features.text.symbols import Symbols

GOLDEN = json.loads((Path(__file__).parent / "golden" / "m4c_targets.json").read_text())
VOCABULARY = Symbols(tuple(GOLDEN["vocabulary"]), UNKNOWN)


class Choosing:
    """A generator that always draws one place."""

    def __init__(self, place):
        self.place = place

    def integers(self, count):
        return self.place


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_targets_are_those_of_the_published_processor(case):
    entries = answer_entries(case["answers"], case["words"][: GOLDEN["slots"]], VOCABULARY)
    assert len(entries.sequences) == case["sequences"]
    for run in case["runs"]:
        steps = draw_steps(entries, VOCABULARY, Choosing(run["pick"]), GOLDEN["steps"], "published")
        count = int(sum(run["mask"]))
        assert steps.previous.tolist() == run["previous"][:count]
        found = [[step, entry, round(value, 6)] for step, right in enumerate(steps.right)
                 for entry, value in sorted(right.items()) if value]
        assert found == run["targets"]


def test_every_place_of_a_word_is_right_unless_asked_otherwise():
    entries = answer_entries(["red zorax"] * 10, ["zorax", "red", "zorax"], VOCABULARY)
    size, red = len(VOCABULARY), VOCABULARY.number("red")
    assert set(entries.sequences) == {(first, size + last) for first in (red, size + 1) for last in (0, 2)}

    def second(rule):
        return set(draw_steps(entries, VOCABULARY, Choosing(0), 4, rule).right[1])

    assert second("identical") == {size, size + 2}
    assert second("published") == second("sampled") == {size}


words = st.sampled_from(["red", "stop", "zorax", "bank", "lux"])


@given(st.lists(words, max_size=6), st.lists(st.lists(words, max_size=3).map(" ".join), min_size=10, max_size=10))
def test_every_sequence_spells_an_answer(seen, answers):
    entries = answer_entries(answers, seen, VOCABULARY)
    for sequence in entries.sequences:
        said = [VOCABULARY.words[e] if e < len(VOCABULARY) else seen[e - len(VOCABULARY)] for e in sequence]
        assert " ".join(said) in answers and sequence[0] in entries.first
    assert all(0 <= score <= 1 for score in entries.first.values())


def test_what_cannot_be_spelled_has_no_steps():
    entries = answer_entries(["zorax"] * 10, ["lux"], VOCABULARY)
    assert not entries.sequences and not len(draw_steps(entries, VOCABULARY, np.random.default_rng(0), 4).previous)
    assert [VOCABULARY.number(word) for word in (PAD, START, END, UNKNOWN)] == [0, 1, 2, 3]
