"""Videos into rows of clip features: decoding in threads beside the encoder, clips of several videos in one batch.

A clip's feature is the mean over its windows. Windows are batched in plan order, so that the bytes do not depend on who
extracts a shard. Of each video only the frames that the encoder looks at are kept, at the size it looks at them, and no
more of these than a queue holds: memory does not grow with a video's length.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.encoders import Encoder, EncoderOptions, load_encoder
from features.errors import HeedError
from pipeline.clips import Clips
from pipeline.fields import FeatureDtype, Row, clip_fields, row_from_clips
from pipeline.pictures import Pictures, VideoPictures
from pipeline.sources import Item
from pipeline.spans import Last, clip_spans, sample_times, windows_of


@dataclass(frozen=True)
class EncodeClips:
    """Which encoder, and how videos reach it."""

    encoder: str
    options: EncoderOptions = field(default_factory=EncoderOptions)
    pictures: Pictures = field(default_factory=VideoPictures)
    """Where frames come from: videos, or a store of frames."""
    clip_seconds: float = 2.0
    last: Last = "half"
    windows: int = 0
    """Windows of a clip that the encoder looks at; 0 is `pipeline.spans.windows_of`."""
    l2: bool = False
    """Whether features are divided by their length."""
    dtype: FeatureDtype = "float16"
    batch: int = 0
    """Windows the encoder sees at once; 0 is 32 of images and 4 of videos. Part of the identity: it can change a
    feature's last bit."""
    decoders: int = 2
    """Videos that are decoded at once, while the encoder works."""

    def open(self) -> ClipReader:
        """Load the encoder."""
        return ClipReader(self)

    def open_to_plan(self) -> ClipReader:
        """Load the encoder on the CPU."""
        return ClipReader(replace(self, options=replace(self.options, device="cpu")))


@dataclass
class _Video:
    """A video on its way: what is known of it so far."""

    item: Item
    spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    duration: float = 0.0
    features: list[np.ndarray] = field(default_factory=list)
    """Of each window, once encoded."""
    waiting: int = 0
    """Windows that are in a batch not encoded yet."""
    error: HeedError | None = None


class ClipReader:
    """A loaded encoder as a `pipeline.worker.Reader`."""

    kind = "clips"

    def __init__(self, spec: EncodeClips) -> None:
        self.encoder: Encoder = load_encoder(spec.encoder, spec.options)
        windows = spec.windows or windows_of(spec.clip_seconds, self.encoder.frames, self.encoder.rate)
        self.spec = replace(spec, windows=windows, batch=spec.batch or (32 if self.encoder.frames == 1 else 4))
        self.pictures = spec.pictures.open()
        self.fields = clip_fields(self.encoder.dim, spec.dtype)

    def describe(self) -> dict[str, Any]:
        """The encoder's own description, and how clips are cut, looked at and pooled."""
        clips = {"seconds": self.spec.clip_seconds, "last": self.spec.last, "windows": self.spec.windows,
                 "pooling": "mean of windows", "l2": self.spec.l2}
        return {**self.encoder.describe(), "clips": clips, "pictures": self.spec.pictures.describe(),
                "batch": self.spec.batch}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each video's clips as a row, in order."""
        waiting: deque[_Video] = deque()
        batch: list[tuple[_Video, np.ndarray]] = []
        for video, window in self._looked(items):
            if window is None:
                waiting.append(video)
            else:
                batch.append((video, window))
                video.waiting += 1
                if len(batch) == self.spec.batch:
                    self._encode(batch)
                    batch = []
            while waiting and not waiting[0].waiting:
                yield waiting[0].item, self._row(waiting.popleft())
        self._encode(batch)
        for video in waiting:
            yield video.item, self._row(video)

    def _looked(self, items: Sequence[Item]) -> Iterator[tuple[_Video, np.ndarray | None]]:
        """Every video's windows in plan order, and None behind each video's last; up to ``decoders`` videos ahead."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.spec.decoders, "heed-decode")
        coming: deque[tuple[_Video, queue.Queue]] = deque()
        left = iter(items)
        try:
            while True:
                for item in itertools.islice(left, self.spec.decoders + 1 - len(coming)):
                    coming.append((_Video(item), queue.Queue(2 * self.spec.batch)))
                    pool.submit(self._look, *coming[-1], stop)
                if not coming:
                    return
                video, windows = coming.popleft()
                while (window := windows.get()) is not None:
                    yield video, window
                yield video, None
        finally:
            stop.set()
            pool.shutdown()
            self.pictures.close()

    def _row(self, video: _Video) -> Row | HeedError:
        if video.error:
            return video.error
        try:
            windows = np.stack(video.features).reshape(len(video.spans), self.spec.windows, -1)
            features = windows.mean(1, dtype=np.float32)
            if self.spec.l2:
                features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
            clips = Clips(features, video.spans.astype(np.float32), video.duration)
            return row_from_clips(video.item.key, clips.checked(), self.fields)
        except HeedError as error:
            return error

    def _encode(self, batch: Sequence[tuple[_Video, np.ndarray]]) -> None:
        if not batch:
            return
        try:
            found = self.encoder.encode(np.stack([window for _, window in batch]))
        except Exception as error:
            if len(batch) > 1:  # find the one that the encoder cannot take
                for one in batch:
                    self._encode([one])
                return
            batch[0][0].error = error if isinstance(error, HeedError) else HeedError(f"the encoder failed: {error!r}")
            found = np.zeros((1, self.encoder.dim), np.float32)
        for (video, _), features in zip(batch, found, strict=True):
            video.features.append(features)
            video.waiting -= 1

    def _look(self, video: _Video, windows: queue.Queue, stop: threading.Event) -> None:
        """Put a video's windows into a queue, (frames, h, w, 3) uint8 each, then None; runs in a thread."""
        try:
            for window in self._windows(video):
                if not _put(windows, window, stop):
                    return
        except HeedError as error:
            video.error = error
        except MemoryError:
            video.error = HeedError("needs more memory than there is")
        except Exception as error:
            video.error = HeedError(f"the video cannot be looked at: {error!r}")
        _put(windows, None, stop)

    def _windows(self, video: _Video) -> Iterator[np.ndarray]:
        spec = self.spec

        def plan(duration: float) -> np.ndarray:
            video.duration, video.spans = duration, clip_spans(duration, spec.clip_seconds, spec.last)
            return sample_times(video.spans, spec.clip_seconds, spec.windows * self.encoder.frames, duration).ravel()

        shown = None
        window: list[np.ndarray] = []
        for frame in self.pictures.look(video.item, plan):
            if frame.time != shown:
                shown, prepared = frame.time, self.encoder.prepare(frame.image)
            window.append(prepared)
            if len(window) == self.encoder.frames:
                yield np.stack(window)
                window = []


def _put(windows: queue.Queue, window: np.ndarray | None, stop: threading.Event) -> bool:
    """Whether there was room before nobody wanted it any more."""
    while not stop.is_set():
        try:
            windows.put(window, timeout=0.5)
            return True
        except queue.Full:
            continue
    return False
