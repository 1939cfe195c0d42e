"""Progress for long jobs: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

WINDOW = 30.0
"""Seconds the rate looks back."""


class JobProgress:
    """Counts units done of a total, with their rate and the time left; a context manager.

    Off a terminal it prints a line at most every ``every`` seconds, so that logs stay readable.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0, every: float = 10.0) -> None:
        self._title, self._total, self._unit, self._every = title, total, unit, every
        self._done = done
        self._started = self._told = time.monotonic()
        self._marks = deque([(self._started, done)])
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                       TextColumn("{task.fields[rate]}"), TextColumn("elapsed"), TimeElapsedColumn(),
                       TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(title, total=total, completed=done, rate="", note="")

    def __enter__(self) -> JobProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Units a second over the last half minute, so that a slow start does not spoil the time left."""
        began, done = self._marks[0]
        return (self._done - done) / max(time.monotonic() - began, 1e-9)

    def update(self, done: int, note: str = "") -> None:
        """Say how many units are done in all, and a word more."""
        now = time.monotonic()
        if done > self._done == self._marks[0][1]:  # loading is over: count from here on
            self._marks[0] = (self._marks[-1][0], self._done)
        self._done = done
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > WINDOW:
            self._marks.popleft()
        if self._bar:
            self._bar.update(self._task, completed=done, rate=f"{self.rate:.1f} {self._unit}/s", note=note)
        elif time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            left = (self._total - done) / self.rate if self.rate else float("inf")
            left_words = f", about {left:.0f} s left" if left < 1e8 else ""
            words = f"{done}/{self._total} {self._unit}, {self.rate:.1f} {self._unit}/s{left_words} {note}"
            print(f"{self._title}: {words}".rstrip(), file=sys.stderr, flush=True)
