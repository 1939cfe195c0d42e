"""Copies of many rows made in several threads: one core moves a part of what the memory could.

NumPy lets go of the interpreter while it copies, so threads do.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

MOST = 4
"""Threads, the caller's among them; more of them than that seldom move more."""
LEAST = 1 << 20
"""Bytes for which a thread is worth while: about ten times as long as it takes to ask one."""


def threads() -> int:
    """OMP_NUM_THREADS where it is set, else half of the cores there are for this process; `MOST` at most, and no more
    than cores. The other half is for whoever uses the rows, or reads beside this process.

    One in a process that another has started by `multiprocessing`: a loader's workers are side by side already.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    wished = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST, cores, int(wished) if wished.isdigit() else cores // 2))


def shared_out(work: Callable[[int, int], None], count: int, size: int) -> None:
    """``work(start, stop)`` for all of 0 … ``count`` - 1, in a few parts of equal count, each in a thread.

    ``size`` is how many bytes are written in all: below `LEAST` for each, fewer threads do it, or the caller's alone.
    Returns when all are done; then what the first failed part raised is raised.
    """
    parts = min(threads(), size // LEAST, count)
    if parts < 2:
        work(0, count)
        return
    ends = [count * part // parts for part in range(parts + 1)]
    pool = _pool(os.getpid())
    others = [pool.submit(work, start, stop) for start, stop in pairwise(ends[1:])]
    try:
        work(0, ends[1])
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _pool(owner: int) -> ThreadPoolExecutor:
    """Of one process: a fork has none of its threads."""
    return ThreadPoolExecutor(MOST - 1, "heed-copy")
