"""R@k/N: the windows of the published example, and a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.neighbours import recall_within_neighbours
from features.errors import HeedError


def matrix(ranks, size=9):
    """Similarities in which sentence i's own reference stands behind ``ranks[i]`` of its nearest neighbours."""
    out = np.zeros((size, size))
    for i in range(size):
        others = sorted((j for j in range(size) if j != i), key=lambda j: abs(j - i))
        out[i, others] = -np.arange(1, size)
        out[i, i] = -0.5 - ranks[i]
    return out


def test_nine_sentences_in_windows_of_four_are_judged_as_published():
    # Windows start at 0, 2 and 4; sentence 8 is in none. 8 of 12 first, 11 of 12 among three: the published example's
    # 0.667 and 0.917.
    found, starts = recall_within_neighbours(matrix([1, 0, 2, 0, 0, 0, 0, 4, 9]), (1, 3), 4)
    assert starts.tolist() == [0, 2, 4]
    assert found.mean(0) == pytest.approx([8 / 12, 11 / 12])


@given(st.integers(2, 23), st.sampled_from([2, 4, 6]), st.integers(0, 99))
def test_recall_is_the_plain_loop_over_full_windows(sentences, neighbours, seed):
    similarity = np.random.default_rng(seed).permutation(sentences**2).reshape(sentences, sentences).astype(float)
    expected, start = [], 0
    while start + neighbours <= sentences:
        inside = range(start, start + neighbours)
        best = [sorted(inside, key=lambda j, i=i: -similarity[i, j])[:2] for i in inside]
        expected.append(sum(i in near for i, near in zip(inside, best, strict=True)) / neighbours)
        start += neighbours // 2
    found, starts = recall_within_neighbours(similarity, (2,), neighbours)
    assert found[:, 0] == pytest.approx(expected) and len(starts) == len(expected)


def test_an_equally_similar_neighbour_counts_as_before():
    assert recall_within_neighbours(np.ones((4, 4)), (1, 4), 4)[0].tolist() == [[0, 1]]


@pytest.mark.parametrize(("similarity", "k"), [(np.zeros((3, 4)), 1), (np.full((4, 4), np.nan), 1), (np.eye(4), 5)])
def test_what_cannot_be_judged_is_told(similarity, k):
    with pytest.raises(HeedError, match="R@k/N"):
        recall_within_neighbours(similarity, (k,), 4)
