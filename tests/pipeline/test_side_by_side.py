"""Copies in several threads: every part once, how many threads, errors, and forks."""

from __future__ import annotations

import multiprocessing
import os
import threading
from functools import partial

import numpy as np
import pytest

from pipeline import side_by_side
from pipeline.side_by_side import LEAST, MOST, shared_out, threads


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(side_by_side, "threads", lambda: 4)


@pytest.mark.parametrize(("count", "size", "parts"), [
    (10, 8 * LEAST, 4), (10, 3 * LEAST, 3), (3, 8 * LEAST, 3), (10, 2 * LEAST - 1, 1), (1, 8 * LEAST, 1), (0, 0, 1)])
def test_every_part_is_done_once_in_as_many_threads_as_it_is_worth(four, count: int, size: int, parts: int) -> None:
    done, met = [], threading.Barrier(parts, timeout=20)

    def work(start: int, stop: int) -> None:
        met.wait()  # all of them at the same time, or there is an error
        done.append((start, stop, threading.get_ident()))

    shared_out(work, count, size)
    assert [place for start, stop, _ in sorted(done) for place in range(start, stop)] == list(range(count))
    assert len({thread for _, _, thread in done}) == len(done) == parts
    assert any(thread == threading.get_ident() for _, _, thread in done)


@pytest.mark.parametrize("bad", [0, 9])
def test_an_error_comes_when_no_thread_writes_any_more(four, bad: int) -> None:
    out = np.zeros(12)

    def work(start: int, stop: int) -> None:
        if start <= bad < stop:
            raise ValueError(f"row {bad}")
        threading.Event().wait(0.2)
        out[start:stop] = 1

    with pytest.raises(ValueError, match=f"row {bad}"):
        shared_out(work, 12, 8 * LEAST)
    assert out.sum() == 9  # of four parts of three all but one


def test_as_many_threads_as_cores_and_omp_num_threads_allow(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    for wished, found in (("", MOST), ("1", 1), ("2,1", 2), ("64", MOST), ("0", 1), ("many", MOST)):
        monkeypatch.setenv("OMP_NUM_THREADS", wished)
        assert threads() == found
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads() == 2


def told(queue, out: np.ndarray) -> None:
    queue.put(threads())
    side_by_side.threads = lambda: 3
    shared_out(partial(fill, out), len(out), 8 * LEAST)
    queue.put(float(out.sum()))


def fill(out: np.ndarray, start: int, stop: int) -> None:
    out[start:stop] = 2


@pytest.mark.timeout(60)
def test_a_child_copies_alone_and_a_fork_that_must_not_has_threads_of_its_own(four) -> None:
    out = np.ones(30)
    shared_out(partial(fill, out), 30, 8 * LEAST)  # this process has threads now
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=told, args=(queue, np.ones(30)))
    # The fixture's four would be forked with the rest.
    side_by_side.threads = threads
    child.start()
    assert queue.get(timeout=30) == 1 and queue.get(timeout=30) == 60.0
    child.join(30)
    assert child.exitcode == 0 and out.sum() == 60
