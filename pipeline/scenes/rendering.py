"""Rendering in several processes, with the results in order: what is written never depends on how many there are."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from features.errors import HeedError

Task = TypeVar("Task")
Made = TypeVar("Made")


def in_order(make: Callable[[Task], Made], tasks: Sequence[Task], workers: int) -> Iterator[Made]:
    """``make`` of each task, in the order of the tasks, by so many processes; by this one where ``workers`` is 1.

    Task i goes to process i modulo ``workers``, which waits while its results are not taken, so that memory stays
    bounded. ``make`` is a module's function, or a partial of one. What it raises is raised here. The processes end
    with the iteration, or with this process.
    """
    if workers <= 1 or len(tasks) <= 1:
        yield from map(make, tasks)
        return
    context = get_context("spawn")
    workers = min(workers, len(tasks))
    ends = []
    processes = []
    try:
        for number in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make, tasks[number::workers]), daemon=True)
            process.start()
            theirs.close()
            ends.append(ours)
            processes.append(process)
        for number in range(len(tasks)):
            try:
                failed, result = ends[number % workers].recv()
            except EOFError:
                raise HeedError("A rendering process was ended from outside: run the command again to go on.") from None
            if failed:
                raise result
            yield result
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.terminate()
            process.join()


def _serve(end: Connection, make: Callable[[Any], Any], tasks: Sequence[Any]) -> None:
    """The work of one process: its results one after the other, or what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    try:
        for task in tasks:
            try:
                result = (False, make(task))
            except Exception as error:
                result = (True, error)
            end.send(result)
    except (BrokenPipeError, ConnectionResetError):
        pass  # nobody is there to take it any more


def default_workers(tasks: int, worth: int) -> int:
    """As many processes as this one may use cores, but at least ``worth`` tasks for each, for starting one costs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, tasks // worth))
