"""The caption that is most like others by CIDEr-D."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.ngrams import Rarity, consensus, ngrams

SENTENCE = st.lists(st.sampled_from(["a", "red", "star", "spins", "again", "and"]), min_size=1, max_size=7)
SENTENCES = st.lists(SENTENCE, min_size=2, max_size=5, unique_by=tuple)
DOCUMENTS = [[["a", "red", "star", "spins"], ["a", "star", "spins", "again"]], [["a", "red", "bell"]],
             [["and", "again"]]]


def rarity() -> Rarity:
    return Rarity([[ngrams(words) for words in group] for group in DOCUMENTS])


@given(SENTENCES, st.data())
def test_it_is_the_one_whose_cider_against_the_others_is_greatest(sentences, data) -> None:
    counts = data.draw(st.lists(st.integers(1, 4), min_size=len(sentences), max_size=len(sentences)))
    everyone = [i for i, count in enumerate(counts) for _ in range(count)]
    scores = [likeness(sentences, i, everyone) for i in range(len(sentences))]
    chosen = consensus(sentences, counts, rarity())
    assert scores[chosen] == pytest.approx(max(scores), abs=1e-9)


def likeness(sentences, i: int, everyone: list[int]) -> float:
    """CIDEr-D of a sentence against all the others, from its formula."""
    log = np.log(len(DOCUMENTS))

    def weights(words) -> dict:
        return {ngram: count * (log - np.log(max(1, sum(any(ngram in ngrams(other) for other in group)
                                                        for group in DOCUMENTS))))
                for ngram, count in ngrams(words).items()}

    total, left = 0.0, list(everyone)
    left.remove(i)
    for j in left:
        one, other = weights(sentences[i]), weights(sentences[j])
        value = 0.0
        for n in range(1, 5):
            a, b = ({key: w for key, w in side.items() if len(key) == n} for side in (one, other))
            product = sum(min(a[key], b[key]) * b[key] for key in a.keys() & b.keys())
            length = np.sqrt(sum(w * w for w in a.values())) * np.sqrt(sum(w * w for w in b.values()))
            value += product / length if length else product
        apart = max(0, len(sentences[i]) - 1) - max(0, len(sentences[j]) - 1)
        total += 10 * value / 4 * np.exp(-(apart**2) / 72)
    return total


def test_what_most_say_wins_and_of_as_many_the_first() -> None:
    said = [["a", "red", "star", "spins"], ["and", "again"]]
    assert consensus(said, [1, 3], rarity()) == 1 and consensus(said, [3, 1], rarity()) == 0
    assert consensus([["x"], ["y"]], [1, 1], rarity()) == 0
