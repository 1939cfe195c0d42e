import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics.faithfulness import area, faithfulness, ranks, steps_taken


def test_areas_of_known_curves():
    assert area(np.ones(11)) == 1
    assert area(np.linspace(1, 0, 11)) == pytest.approx(0.5)
    assert area(np.array([1.0, 0, 0, 0, 0])) == pytest.approx(1 / 8)  # a triangle of base 1/4 and height 1
    assert area(np.linspace(0, 1, 101) ** 2) == pytest.approx(np.trapezoid(np.linspace(0, 1, 101) ** 2, dx=0.01))


def test_ranks_are_those_of_the_weights_and_padding_comes_last():
    found = ranks(np.array([[0.1, 0.7, 0.2, 9.0]]), np.array([3]), np.random.default_rng(0))
    assert found.tolist() == [[2, 0, 1, 3]]


def test_equal_weights_are_ordered_at_random():
    rng = np.random.default_rng(0)
    first = [int(np.argmin(ranks(np.ones((1, 4)), np.array([4]), rng)[0])) for _ in range(400)]
    counts = np.bincount(first, minlength=4)
    assert counts.min() > 70  # 100 expected, standard deviation 8.7


@given(st.integers(1, 40), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_steps_begin_with_none_end_with_all_and_are_even(count, steps):
    taken = steps_taken(np.array([count]), steps)[:, 0]
    assert taken[0] == 0 and taken[-1] == count
    sizes = np.diff(taken)
    assert sizes.min() >= 0 and sizes.max() - sizes.min() <= 1


def additive(values, order, steps):
    """Scores of a model whose score is the sum of the values that are left, by deletion and insertion in ``order``."""
    counts = np.full(len(values), values.shape[1])
    rank = ranks(order, counts, np.random.default_rng(0))
    taken = steps_taken(counts, steps)
    deletion = np.stack([(values * (rank >= t[:, None])).sum(1) for t in taken], 1)
    insertion = np.stack([(values * (rank < t[:, None])).sum(1) for t in taken], 1)
    return deletion, insertion


def measured(values, attention):
    n = len(values)
    deletion, insertion = {}, {}
    deletion["attention"], insertion["attention"] = additive(values, attention, values.shape[1])
    rng = np.random.default_rng(1)
    drawn = [additive(values, rng.random(values.shape), values.shape[1]) for _ in range(20)]
    deletion["random"], insertion["random"] = (np.mean([one[i] for one in drawn], axis=0) for i in (0, 1))
    return faithfulness(deletion, insertion, np.arange(n).astype(str), resamples=50)


def test_one_key_that_is_everything_found_first_or_last():
    """With n keys: found first, deletion falls within the first of n steps: area 1/2n; found last, 1 - 1/2n."""
    values = np.zeros((30, 5))
    values[:, 2] = 3.0  # any scale
    best, _ = measured(values, values)
    worst, _ = measured(values, -values)
    assert best["deletion"].value == pytest.approx(0.1) and best["insertion"].value == pytest.approx(0.9)
    assert worst["deletion"].value == pytest.approx(0.9) and worst["insertion"].value == pytest.approx(0.1)
    assert best["random_deletion"].value == pytest.approx(0.5, abs=0.03)
    assert best["deletion_gain"].value == pytest.approx(best["random_deletion"].value - 0.1)
    assert worst["insertion_gain"].value == pytest.approx(0.1 - worst["random_insertion"].value)


def test_of_a_model_that_adds_up_all_keys_alike_every_order_is_a_straight_line():
    found, curves = measured(np.ones((20, 4)), np.random.default_rng(3).random((20, 4)))
    assert found["deletion"].value == found["insertion"].value == pytest.approx(0.5)
    assert found["deletion_gain"].value == pytest.approx(0)
    assert curves["deletion"] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert curves["insertion"] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_an_offset_and_a_scale_of_the_score_change_nothing():
    rng = np.random.default_rng(5)
    values, attention = rng.random((25, 6)), rng.random((25, 6))
    plain, _ = measured(values, attention)
    deletion, insertion = additive(values, attention, 6)
    moved, _ = faithfulness({"attention": 7 * deletion - 40}, {"attention": 7 * insertion - 40},
                            np.arange(25).astype(str), resamples=10)
    assert moved["deletion"].value == pytest.approx(plain["deletion"].value)


def test_a_score_that_falls_with_keys_has_no_faithfulness():
    deletion, insertion = additive(-np.ones((4, 3)), np.ones((4, 3)), 3)
    found, _ = faithfulness({"attention": deletion}, {"attention": insertion}, np.arange(4).astype(str), resamples=10)
    assert math.isnan(found["deletion"].value)
