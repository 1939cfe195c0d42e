"""Similarities of sentences by their words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import ngrams
from evaluation.metrics.similarity import SIMILARITIES, cider, rouge_l, word_f1

SENTENCES = st.lists(st.lists(st.sampled_from(["a", "red", "star", "spins", "again", "and"]), min_size=1, max_size=7),
                     min_size=1, max_size=5)


def test_word_f1_counts_each_word_as_often_as_it_is_there():
    found = word_f1([["a", "red", "star"], ["a", "a", "bell"]], [["a", "red", "red", "moon"], ["bell"]])
    assert found == pytest.approx(np.array([[4 / 7, 0], [2 / 7, 2 / 4]]))


@given(SENTENCES, SENTENCES)
def test_word_f1_is_the_harmonic_mean_and_the_same_both_ways(said, references):
    found = word_f1(said, references)
    assert np.allclose(found, word_f1(references, said).T)
    for i, one in enumerate(said):
        for j, other in enumerate(references):
            left = list(other)
            common = sum(1 for word in one if word in left and not left.remove(word))
            precision, recall = common / len(one), common / len(other)
            assert found[i, j] == pytest.approx(2 * precision * recall / (precision + recall) if common else 0)


@given(SENTENCES)
def test_a_sentence_is_nowhere_nearer_than_to_itself(sentences):
    for similar in (word_f1, rouge_l):
        found = similar(sentences, sentences)
        assert (found <= np.diagonal(found)[:, None] + 1e-9).all() and np.allclose(np.diagonal(found), 1)


def test_pairs_are_what_the_caption_metrics_give():
    said = [["a", "red", "star", "spins", "again"], ["a", "bell", "rings"]]
    references = [["the", "red", "star", "spins"], ["a", "bell", "is", "ringing"], ["a", "red", "moon"]]
    groups = [[one] for one in references]
    assert rouge_l(said, references)[0, 1] == ngrams.rouge_l(said[0], groups[1])
    assert np.allclose(cider(said, references)[1], ngrams.cider([said[1]] * 3, groups))


@pytest.mark.parametrize("name", SIMILARITIES)
def test_nothing_said_gives_an_empty_table(name):
    assert SIMILARITIES[name]([], [["a"], ["b"]]).shape == (0, 2)
