"""How far a sweep is, a line now and then: trials take minutes, so that a bar of them would stand still."""

from __future__ import annotations

import sys
import time

EVERY = 30.0
"""Seconds between two lines while no trial ends."""


class SweepProgress:
    """Counts trials; the time left is their mean length times what is left, over the trials that run at once."""

    def __init__(self, total: int, done: int, lanes: int) -> None:
        self._total, self._before, self._lanes = total, done, max(1, lanes)
        self._ended: list[float] = []
        self._failed = 0
        self._began = time.monotonic()
        self._told = self._began
        if done:
            print(f"sweep: {done} of {total} trials were done before.", file=sys.stderr, flush=True)

    def ended(self, name: str, seconds: float, reason: str) -> None:
        """Tell that a trial has ended, after so many seconds."""
        self._failed += bool(reason)
        self._ended.append(seconds)
        self._tell(f"{name}: {reason}" if reason else f"{name} in {clock(seconds)}")

    def alive(self) -> None:
        """Tell that trials run, if nothing was told for a while."""
        if time.monotonic() - self._told >= EVERY:
            self._tell("")

    @property
    def left(self) -> float | None:
        """Seconds left; None before a trial has ended."""
        if not self._ended:
            return None
        waiting = self._total - self._before - len(self._ended)
        mean = sum(self._ended) / len(self._ended)
        at_once = max(1, min(self._lanes, waiting))
        return max(waiting * mean / at_once - (time.monotonic() - self._told) / 2, 0.0)

    def _tell(self, what: str) -> None:
        done = self._before + len(self._ended) - self._failed
        failed = f", {self._failed} failed" if self._failed else ""
        left = "" if self.left is None else f", about {clock(self.left)} left"
        elapsed = clock(time.monotonic() - self._began)
        self._told = time.monotonic()
        print(f"sweep: {done}/{self._total} trials{failed}, {elapsed} elapsed{left}{'; ' if what else ''}{what}",
              file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
