"""Where an encoder's frames come from: videos, decoded as they are looked at, or a store of frames."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from features.errors import HeedError
from features.video import Frame, VideoSource
from features.video.guard import Guard
from features.video.sampling import Sampling
from pipeline.sources import Item

Plan = Callable[[float], np.ndarray]
"""A video's duration in seconds -> ascending times at which its frames are wanted."""


class OpenPictures(Protocol):
    """A source's frames by time; used from several threads at once."""

    def look(self, item: Item, plan: Plan) -> Iterator[Frame]:
        """The frame shown at each of the times that ``plan`` gives; raises `HeedError` with the reason alone."""
        ...

    def close(self) -> None:
        """Give back what was opened; it may be used again all the same."""
        ...


class Pictures(Protocol):
    """How to open one; it travels to the workers."""

    def open(self) -> OpenPictures:
        """Open it, once a worker."""
        ...

    def describe(self) -> Any:
        """What happened to the pixels before an encoder sees them; for a store's identity."""
        ...


AS_DECODED = "as decoded"
"""Full size, without a loss: the same frames from a video and from a store that keeps them so."""


@dataclass(frozen=True)
class VideoPictures:
    """Frames out of video files, decoded in processes that can be killed (`features.video.guard`)."""

    stall: float = 10.0
    """A video fails where nothing can be read or decoded of it for so many seconds."""

    def open(self) -> OpenVideos:
        """Nothing is started before it is needed."""
        return OpenVideos(self.stall)

    def describe(self) -> Any:
        """Nothing happens to the pixels."""
        return AS_DECODED


class OpenVideos:
    """As many decoding processes as there are threads that look at the same time."""

    def __init__(self, stall: float) -> None:
        self.stall = stall
        self._idle: queue.LifoQueue[Guard] = queue.LifoQueue()

    def look(self, item: Item, plan: Plan) -> Iterator[Frame]:
        """Decoded on the way; the duration is the file's own word, and frames that it promises must be there."""
        if item.error:
            raise HeedError(item.error)
        source = VideoSource(item.uri, item.offset, item.size if item.offset else -1)
        try:
            guard = self._idle.get_nowait()
        except queue.Empty:
            guard = Guard(self.stall)
        try:
            times = plan(guard.probe(source).duration)
            yield from guard.look(source, Sampling(times=tuple(times.tolist()), threads=1)).frames
        finally:
            self._idle.put(guard)

    def close(self) -> None:
        """End the processes."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
