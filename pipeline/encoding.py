"""Many inputs through one encoder: read in threads beside it, in batches that go across inputs, results in plan order.

Batches are cut from the inputs' windows in plan order, so that what is stored does not depend on who extracts a shard.
Of each input no more windows are kept than a queue holds, and their features.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.sources import Item


@dataclass
class Encoded:
    """An input on its way: what is known of it so far."""

    item: Item
    duration: float = 0.0
    """Seconds."""
    spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(n, 2) seconds of its clips."""
    features: list[np.ndarray] = field(default_factory=list)
    """Of each window, once encoded."""
    waiting: int = 0
    """Windows that are in a batch not encoded yet."""
    error: HeedError | None = None
    """Why it cannot be stored."""


Windows = Callable[[Encoded], Iterator[Any]]
"""Reads an input, fills in its duration and spans, and gives its windows in order; called in a thread."""
Encode = Callable[[Sequence[Any]], np.ndarray]
"""Windows to features (n, d)."""


def encode_all(
    items: Sequence[Item], windows: Windows, encode: Encode, batch: int, readers: int
) -> Iterator[Encoded]:
    """Every input in order, with all its windows' features or its error. ``readers`` are read at the same time.

    Whatever goes wrong with one input is its own error. Closing the iterator ends the threads.
    """
    waiting: deque[Encoded] = deque()
    open_batch: list[tuple[Encoded, Any]] = []
    for one, window in _windows_of_all(items, windows, 2 * batch, readers):
        if window is None:
            waiting.append(one)
        else:
            open_batch.append((one, window))
            one.waiting += 1
            if len(open_batch) == batch:
                _encode(open_batch, encode)
                open_batch = []
        while waiting and not waiting[0].waiting:
            yield waiting.popleft()
    _encode(open_batch, encode)
    yield from waiting


def _encode(batch: Sequence[tuple[Encoded, Any]], encode: Encode) -> None:
    if not batch:
        return
    try:
        found: Sequence[np.ndarray] = list(encode([window for _, window in batch]))
    except Exception as error:
        if len(batch) > 1:  # find the one that the encoder cannot take
            for pair in batch:
                _encode([pair], encode)
            return
        batch[0][0].error = error if isinstance(error, HeedError) else HeedError(f"the encoder failed: {error!r}")
        found = [np.zeros(0, np.float32)]
    for (one, _), features in zip(batch, found, strict=True):
        one.features.append(features)
        one.waiting -= 1


def _windows_of_all(
    items: Sequence[Item], windows: Windows, depth: int, readers: int
) -> Iterator[tuple[Encoded, Any]]:
    """Every input's windows in plan order, and None behind each input's last."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(readers, "heed-read")
    coming: deque[tuple[Encoded, queue.Queue]] = deque()
    left = iter(items)
    try:
        while True:
            for item in itertools.islice(left, readers + 1 - len(coming)):
                coming.append((Encoded(item), queue.Queue(depth)))
                pool.submit(_read, *coming[-1], windows, stop)
            if not coming:
                return
            one, filled = coming.popleft()
            while (window := filled.get()) is not None:
                yield one, window
            yield one, None
    finally:
        stop.set()
        pool.shutdown()


def _read(one: Encoded, filled: queue.Queue, windows: Windows, stop: threading.Event) -> None:
    try:
        for window in windows(one):
            if not _put(filled, window, stop):
                return
    except HeedError as error:
        one.error = error
    except MemoryError:
        one.error = HeedError("needs more memory than there is")
    except Exception as error:  # whatever a library trips over in a damaged file
        one.error = HeedError(f"cannot be read: {error!r}")
    _put(filled, None, stop)


def _put(filled: queue.Queue, window: Any, stop: threading.Event) -> bool:
    """Whether there was room before nobody wanted it any more."""
    while not stop.is_set():
        try:
            filled.put(window, timeout=0.5)
            return True
        except queue.Full:
            continue
    return False
