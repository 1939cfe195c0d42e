"""Computing the next results in a thread while the last one is used."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from features.errors import HeedError

T = TypeVar("T")


def read_ahead(read: Callable[[int], T], steps: Sequence[int], depth: int = 2) -> Generator[T, None, None]:
    """``read(step)`` for each step in order, up to ``depth`` of them computed in a thread before they are taken.

    What ``read`` raises is raised where its result would have come. Once the last is taken, an error is raised or the
    iterator is closed or dropped, the thread ends, at the latest after the step it is at. With ``depth`` 0 there is no
    thread. An iterator that was begun before a fork is refused in the child, which has not the thread.
    """
    if depth < 1:
        yield from map(read, steps)
        return
    owner, waiting = os.getpid(), deque[Future[T]]()
    pool = ThreadPoolExecutor(1, "heed-read-ahead")
    try:
        for step in steps:
            waiting.append(pool.submit(read, step))
            if len(waiting) > depth:
                yield _taken(waiting.popleft(), owner)
        while waiting:
            yield _taken(waiting.popleft(), owner)
    finally:
        pool.shutdown(wait=os.getpid() == owner, cancel_futures=True)


def _taken(result: Future[T], owner: int) -> T:
    if os.getpid() != owner:
        raise HeedError("These batches were begun before this process was forked; begin them in the process that takes "
                        "them (a loader's worker reads epoch[step]).")
    return result.result()
