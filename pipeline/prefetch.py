"""Shards fetched into the cache before they are read."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable

from features.errors import HeedError
from pipeline.cache import ShardCache, Wanted

AT_ONCE = 4
"""Shards fetched at once."""
FRESH = 5.0
"""Seconds for which a shard that was fetched, or found here, is not looked for again."""


class Prefetcher:
    """Fetches shards in threads of its own, which end when nothing is left to fetch."""

    def __init__(self, cache: ShardCache) -> None:
        self._cache = cache
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[Wanted] = deque()
        self._seen: dict[str, float] = {}
        self._threads = 0

    def ask(self, wanted: Iterable[Wanted]) -> None:
        """Fetch these, in order, as many as fill half of the cache; what was asked for before is forgotten."""
        if self._process != os.getpid():  # threads and locks do not live on in a forked process
            self._begin()
        chosen, room, now = deque[Wanted](), self._cache.limit // 2, time.monotonic()
        for each in wanted:
            room -= each.size
            if room < 0:
                break
            if now - self._seen.get(each.sha256, -FRESH) >= FRESH:
                chosen.append(each)
        with self._lock:
            self._waiting = chosen
            starting = max(0, min(AT_ONCE, len(chosen)) - self._threads)
            self._threads += starting
        for _ in range(starting):
            threading.Thread(target=self._work, name="heed-prefetch", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                each = self._waiting.popleft()
            try:
                with self._cache.file(each):
                    self._seen[each.sha256] = time.monotonic()
            except HeedError:  # whoever reads the shard will be told
                continue
