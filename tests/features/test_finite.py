import numpy as np
import pytest

from features.finite import all_finite

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def test_every_float16_is_judged_as_numpy_judges_it():
    assert [all_finite(EVERY[place:place + 1]) for place in range(1 << 16)] == np.isfinite(EVERY).tolist()


@pytest.mark.parametrize("dtype", ["f2", ">f2", "f4", "f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_among_many_is_seen_wherever_it_is(dtype, bad):
    values = np.random.default_rng(0).normal(size=(5, 33, 7)).astype(dtype)
    assert all_finite(values) and all_finite(values[:, ::2, ::-1])
    values[3, 32, 2] = bad
    assert not all_finite(values) and not all_finite(values.T) and all_finite(values[:3])


def test_empty_arrays_and_whole_numbers_are_finite():
    assert all_finite(np.zeros((0, 4), np.float16)) and all_finite(np.array([1, 2]))
