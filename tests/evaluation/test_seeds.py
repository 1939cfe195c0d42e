import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation.seeds import holm, mean_interval, paired, sign_flip

SLEEP = (1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4)
"""Student 1908: additional hours of sleep by one drug over the other, ten patients."""


def test_students_own_example():
    """t = 4.0621 with 9 degrees of freedom, p = 0.002833; interval 0.70 to 2.46 (R's documentation of `sleep`)."""
    found = paired(dict(enumerate(SLEEP)), dict.fromkeys(range(10), 0.0))
    assert found.difference.value == pytest.approx(1.58)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=9, unique=True))
def test_agrees_with_scipy(pairs):
    one, other = np.array(pairs, float).T
    found = paired(dict(enumerate(one)), dict(enumerate(other)))
    if found.difference.sd > 0:
        assert found.p == pytest.approx(stats.ttest_rel(one, other).pvalue, rel=1e-6)
        low, high = stats.ttest_rel(one, other).confidence_interval()
        assert (found.difference.low, found.difference.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)


def test_only_seeds_that_both_have_are_paired():
    found = paired({0: 1.0, 1: 3.0, 2: math.nan, 7: 100.0}, {0: 0.0, 1: 1.0, 2: 5.0, 9: -100.0})
    assert found.difference.n == 2 and found.difference.value == 1.5


def test_one_seed_gives_no_interval_and_no_test():
    assert mean_interval([3.0]).value == 3 and math.isnan(mean_interval([3.0]).low)
    assert math.isnan(paired({0: 1.0}, {0: 2.0}).p)
    assert paired({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}).p == 1


def test_holms_correction_of_a_worked_example():
    """0.005 x 4, 0.01 x 3, then 0.03 x 2 also stands for the larger 0.04 (x 1 would be less)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, math.nan, 0.02]) == pytest.approx([0.02, math.nan, 0.02], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(raw <= one <= min(1, raw * len(p)) + 1e-15 for raw, one in zip(p, adjusted, strict=True))
    assert all(a <= b for (x, a) in zip(p, adjusted, strict=True) for (y, b) in zip(p, adjusted, strict=True) if x < y)


def test_sign_flips_are_exact_and_cannot_reach_five_percent_with_five_seeds():
    assert sign_flip([1, 2, 3, 4, 5]) == 2 / 32
    exact = stats.permutation_test((np.array(SLEEP),), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(SLEEP) == pytest.approx(exact.pvalue)
