"""Rendering in several processes."""

import os
from functools import partial

import pytest

from features.errors import HeedError
from pipeline.scenes import write_scenes
from pipeline.scenes.rendering import default_workers, in_order


def end_at(number, at):
    if at == number:
        os._exit(1)
    return at


def fail_at(number, at):
    if at == number:
        raise HeedError(f"{at} cannot be drawn.")
    return at


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_what_goes_wrong_is_raised_in_its_place(workers):
    made = in_order(partial(fail_at, 5), range(10), workers)
    assert [next(made) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(HeedError, match="5 cannot be drawn"):
        next(made)
    assert list(in_order(partial(fail_at, 5), [], workers)) == []


def test_a_process_that_is_ended_is_told():
    with pytest.raises(HeedError, match="ended from outside"):
        list(in_order(partial(end_at, 2), range(4), 2))


def test_a_folder_is_the_same_by_one_process_and_by_two(tmp_path):
    for workers in (1, 2):
        write_scenes(tmp_path / str(workers), 6, seed=3, size=32, workers=workers)
    one, two = ({str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()}
                for f in (tmp_path / "1", tmp_path / "2"))
    assert one == two


def test_a_process_more_is_started_only_where_it_is_worth_it():
    assert default_workers(10, worth=200) == 1
    assert 1 <= default_workers(10**6, worth=200) <= (os.cpu_count() or 1)
