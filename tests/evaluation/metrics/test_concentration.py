import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from evaluation.metrics.concentration import concentration, js_similarity, top_agreement

DISTRIBUTIONS = st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=9).filter(any), min_size=1, max_size=6)


def laid(lists):
    return np.concatenate([np.array(one, float) for one in lists]), np.array([len(one) for one in lists])


def test_uniform_and_single():
    weights, lengths = laid([[0.25] * 4, [0, 0, 1, 0], [0, 0], [5.0]])
    found = concentration(weights, lengths)
    assert found["entropy"][:3].tolist() == pytest.approx([1, 0, 1])  # all zero counts as uniform
    assert found["gini"][:3].tolist() == pytest.approx([0, 0.75, 0])
    assert found["hoyer"][:3].tolist() == pytest.approx([0, 1, 0], abs=1e-12)
    assert found["largest"][:3].tolist() == pytest.approx([0.25, 1, 0.5])
    assert found["keys_90"][:3].tolist() == pytest.approx([1, 0.25, 1])
    assert all(np.isnan(values[3]) for values in found.values())  # one key


@given(DISTRIBUTIONS)
@settings(max_examples=40, deadline=None)
def test_agree_with_their_definitions_one_by_one(lists):
    found = concentration(*laid(lists))
    for place, one in enumerate(lists):
        p = np.array(one) / sum(one)
        n = len(p)
        assert found["entropy"][place] == pytest.approx(entropy(p) / np.log(n))
        pairs = np.abs(p[:, None] - p[None, :]).sum() / (2 * n * n * p.mean())  # Gini's own definition
        assert found["gini"][place] == pytest.approx(pairs, abs=1e-12)
        assert found["hoyer"][place] == pytest.approx(
            (np.sqrt(n) - p.sum() / np.linalg.norm(p)) / (np.sqrt(n) - 1), abs=1e-12)
        needed = next(k for k in range(1, n + 1) if sorted(p, reverse=True)[:k] and
                      sum(sorted(p, reverse=True)[:k]) >= 0.9 - 1e-9)
        assert found["keys_90"][place] == needed / n


@given(DISTRIBUTIONS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_js_similarity_is_scipys(lists, random):
    others = [random.sample(one, len(one)) for one in lists]
    weights, lengths = laid(lists)
    found = js_similarity(weights, laid(others)[0], lengths)
    for place, (one, other) in enumerate(zip(lists, others, strict=True)):
        assert found[place] == pytest.approx(1 - np.nan_to_num(jensenshannon(one, other, 2)) ** 2, abs=1e-9)


def test_js_similarity_of_equal_and_disjoint():
    first, lengths = laid([[1, 2, 3], [1, 0]])
    assert js_similarity(first, laid([[2, 4, 6], [0, 3]])[0], lengths).tolist() == pytest.approx([1, 0])


def test_top_agreement_counts_ties_as_a_draw():
    first, lengths = laid([[1, 2, 0], [2, 2, 0], [1, 1, 1], [3, 0, 0]])
    second, _ = laid([[0, 5, 1], [9, 1, 0], [1, 1, 1], [0, 1, 1]])
    assert top_agreement(first, second, lengths).tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0])
