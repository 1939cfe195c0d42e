"""Where an encoder's frames come from: videos, decoded as they are looked at, or a store of frames."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from features.errors import HeedError
from features.video import Frame, VideoSource
from features.video.frames import CLOSE
from features.video.guard import Guard
from features.video.sampling import Sampling
from pipeline.fields import frames_from_row
from pipeline.identity import IDENTITY_FILE, Identity
from pipeline.places import place
from pipeline.sources import VIDEO_SUFFIXES, Item, Source, check_keys, open_source
from pipeline.store import Store

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

    def check(self, seconds: float, count: int) -> None:
        """Raise `HeedError` where it has not all frames that are looked at: ``count`` in a clip of ``seconds``."""
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

    def check(self, seconds: float, count: int) -> None:
        """A video has all its frames."""


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


@dataclass(frozen=True)
class StoredPictures:
    """Frames out of a store of kind ``frames``, extracted at a rate at which all that is looked at is there."""

    store: str
    """Folder or URL of the store."""
    extractor: dict[str, Any]
    """What made it, as its store.json says."""

    def open(self) -> OpenStore:
        """The store is opened once a thread."""
        return OpenStore(self.store)

    def describe(self) -> Any:
        """How the frames were kept, where that is not without a loss."""
        kept = {name: self.extractor.get(name) for name in ("size", "image", "quality", "partial")}
        if kept["size"] is None and kept["image"] == "png" and not kept["partial"]:
            return AS_DECODED
        return {name: value for name, value in kept.items() if value}

    def check(self, seconds: float, count: int) -> None:
        """Raise `HeedError` where a time that is looked at is none of 0, 1/fps, 2/fps, …."""
        fps = self.extractor.get("chosen", {}).get("fps")
        looked = np.append((np.arange(count) + 0.5) * seconds / count, seconds)
        if fps is None or np.abs(looked - np.round(looked * fps) / fps).max() > CLOSE:
            has = f"frames at {fps:g} a second" if fps else "frames that were not chosen by a rate"
            raise HeedError(f"{self.store} holds {has}; of each clip of {seconds:g} s this looks at {count} frames, "
                            f"the first at {looked[0]:g} s, and not all are there. Extract frames with --fps "
                            f"{2 * count / seconds:g}, or clips from the videos.")


class OpenStore:
    """A store of frames that several threads read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._own = threading.local()

    def look(self, item: Item, plan: Plan) -> Iterator[Frame]:
        """Out of the row whose number is the item's offset."""
        if item.error:
            raise HeedError(item.error)
        if not hasattr(self._own, "store"):
            self._own.store = Store.open(self.path)
        frames = frames_from_row(self._own.store.row(item.offset))
        yield from frames.at(plan(frames.duration))

    def close(self) -> None:
        """Nothing is held that others wait for."""


def open_pictures(uri: str) -> tuple[Source, Pictures]:
    """List a source of videos, or the videos of a store of frames, those among them that failed there as failed.

    Raises `HeedError` as `open_source` does, and for a store of another kind.
    """
    where = place(uri)
    if not (where / IDENTITY_FILE).is_file():
        return open_source(uri, VIDEO_SUFFIXES, "videos"), VideoPictures()
    identity = Identity.read(where)
    if identity.kind != "frames":
        raise HeedError(f"{uri} is a store of {identity.kind}; clips are made of videos or of a store of frames.")
    store = Store.open(where)
    items = [Item(key, uri, offset=row) for row, key in enumerate(store.keys())]
    items += [Item(failure["key"], uri, error=f"has no frames: {failure['reason']}") for failure in store.failures()]
    check_keys(items)
    return Source(uri, items, 0), StoredPictures(str(where), identity.extractor)
