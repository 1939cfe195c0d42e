import gc
import os
import threading
import time

import pytest

from features.errors import HeedError
from pipeline.ahead import read_ahead


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("heed-read-ahead")]


@pytest.mark.parametrize("depth", [0, 1, 3, 20])
def test_reading_ahead_keeps_order_and_ends_its_thread(depth):
    assert list(read_ahead(lambda step: step * 10, range(7), depth)) == [0, 10, 20, 30, 40, 50, 60]
    assert list(read_ahead(lambda step: step, range(1), depth)) == [0]
    assert list(read_ahead(lambda step: step, range(0), depth)) == []
    assert threads() == []


def test_no_more_than_depth_steps_are_read_before_they_are_taken():
    begun = []
    ahead = read_ahead(lambda step: begun.append(step) or step, range(100), depth=3)
    for taken in range(5):
        assert next(ahead) == taken
        time.sleep(0.01)
        assert len(begun) <= taken + 1 + 3
    ahead.close()


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_in_its_place_with_its_words(depth):
    def read(step):
        if step == 2:
            raise HeedError("Shard 000007.arrow is missing.")
        return step

    ahead = read_ahead(read, range(9), depth)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(HeedError, match=r"Shard 000007\.arrow is missing"):
        next(ahead)
    assert threads() == []


@pytest.mark.parametrize("stop", ["close", "drop"])
def test_stopping_early_leaves_no_thread_and_reads_no_further(stop):
    begun = []
    ahead = read_ahead(lambda step: begun.append(step) or time.sleep(0.01), range(1000), depth=50)
    next(ahead)
    if stop == "close":
        ahead.close()
    else:
        del ahead
        gc.collect()
    assert threads() == [] and len(begun) < 40


def test_batches_begun_before_a_fork_are_refused_in_the_child_instead_of_hanging():
    ahead = read_ahead(lambda step: step, range(9))
    assert next(ahead) == 0
    child = os.fork()
    if not child:
        try:
            next(ahead)
        except HeedError as error:
            os._exit(7 if "forked" in str(error) else 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert list(ahead) == list(range(1, 9))
