import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.arrow_numbers import numbers


@given(values=st.lists(st.integers(0, 100), max_size=9), first=st.integers(0, 9), last=st.integers(0, 9),
       dtype=st.sampled_from(["float16", "float32", "int8", "uint8", "int32", "int64", "uint64"]))
@settings(deadline=None, max_examples=60)
def test_an_array_or_a_slice_of_one_is_seen_as_it_is(values, first, last, dtype):
    whole = np.array(values, dtype)
    array = pa.array(whole)[first:max(first, last)]
    seen = numbers(array)
    assert seen.dtype == dtype and np.array_equal(seen, whole[first:max(first, last)])


def test_a_view_shares_the_arrays_memory_and_missing_values_are_refused():
    array = pa.array(np.arange(5))
    assert numbers(array).__array_interface__["data"][0] == array.buffers()[1].address
    with pytest.raises(ValueError, match="1 of 2 values are missing"):
        numbers(pa.array([1, None], pa.int32()))
