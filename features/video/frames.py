"""Frames by presentation time: a video is walked once, forwards, and only what is asked for is turned into pixels.

With several threads FFmpeg patches up damaged data in an order that differs from run to run. So the first walk refuses
everything that is not whole, and where it stumbles a second one begins with a single thread and counts: then the same
frames come of a damaged file, or the same error, as with one thread at once. (Rarely, about once in a hundred files
with a few wrong bits, several threads do not tell that one of them has patched a picture up.)
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from features.errors import HeedError
from features.video.container import OpenVideo, VideoPath, alive, open_video
from features.video.pixels import Size, to_rgb

if TYPE_CHECKING:
    from av import VideoFrame

T = TypeVar("T")
CLOSE = 1e-6
"""Seconds that a frame may begin after the time asked for: times are written with six decimals."""
_LAST = 64
"""Packets that several threads and reordering may hold back, with room to spare."""
_REORDERED = 17
"""One more than the frames that a coder may show later than a frame that is made from them."""
END_SLACK = 0.5
"""Seconds that the last frame stays on after its end, as durations in headers are not exact."""
SKIP_SECONDS = 2.0
"""A jump to a keyframe is made where it skips at least this much, as it throws away what the decoder has begun."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video."""

    time: float
    """Seconds from the file's start at which it begins to be shown."""
    image: np.ndarray
    """(height, width, 3) uint8 RGB, upright."""


class Damaged(HeedError):
    """A part of the video cannot be decoded, or is not there."""


def frames_at(
    path: VideoPath, times: Iterable[float], size: Size = None, *, threads: int = 0, notes: list[str] | None = None
) -> Iterator[Frame]:
    """The frame shown at each of ``times`` (seconds), in ascending order of time, as many as times were given.

    A time before the first frame gives the first one; the last frame stays on for half a second after its end. A frame
    that is shown at several times comes as often, the same object. Memory does not grow with the video. ``threads`` 0
    decodes with one thread a core; the frames of a sound video do not depend on it.

    Raises `HeedError` with the reason alone, like `open_video`, and where a part cannot be decoded or the video ends
    before a time asked for (it is cut off, or its header promises more than there is). With ``notes`` those two are put
    into that list instead: what can be decoded is, and fewer frames than times may come.
    """
    wanted = sorted(float(time) for time in times)
    if not all(math.isfinite(time) for time in wanted):
        raise HeedError("a time asked for is not a finite number of seconds")

    def walk(video: OpenVideo, damage: Damage) -> Iterator[Frame]:
        steps = _Walk(video, damage)
        made: Frame | None = None
        for time in wanted:
            shown = steps.to(time)
            if shown is None:
                return
            if made is None or made.time != shown[0]:
                made = Frame(shown[0], to_rgb(shown[1], size))
            yield made

    return _twice(path, threads, notes, walk)


def keyframes(
    path: VideoPath, size: Size = None, *, threads: int = 0, notes: list[str] | None = None
) -> Iterator[Frame]:
    """The frames that are coded without others, decoding nothing else; raises as `frames_at` does."""

    def walk(video: OpenVideo, damage: Damage) -> Iterator[Frame]:
        for time, frame in decoded(video, damage, keys_only=True):
            yield Frame(time, to_rgb(frame, size))

    return _twice(path, threads, notes, walk)


def frame_times(path: VideoPath, *, threads: int = 0, notes: list[str] | None = None) -> np.ndarray:
    """Time of every frame, in the order the decoder gives them, (n,) float64; raises as `frames_at` does."""

    def walk(video: OpenVideo, damage: Damage) -> Iterator[float]:
        for time, _ in decoded(video, damage):
            yield time

    return np.array(list(_twice(path, threads, notes, walk)), np.float64)


def _twice(path: VideoPath, threads: int, notes: list[str] | None, walk: Callable[..., Iterator[T]]) -> Iterator[T]:
    """What ``walk`` gives; where it stumbles over damage, from there on what it gives with one thread."""
    given = 0
    if threads != 1:
        try:
            with open_video(path, threads, picky=True) as video:
                for one in walk(video, Damage(None)):
                    yield one
                    given += 1
            return
        except Damaged:
            pass
    with open_video(path, 1) as video:
        yield from islice(walk(video, Damage(notes)), given, None)


class _Walk:
    """A walk through a video's frames that looks one frame ahead."""

    def __init__(self, video: OpenVideo, damage: Damage) -> None:
        self.video, self.damage = video, damage
        self.shown: tuple[float, VideoFrame] | None = None
        self.frames = decoded(video, damage)
        self.ahead = next(self.frames, None)
        if self.ahead is None:
            raise HeedError("the file holds no frame that can be decoded")
        has_times = self.ahead[1].pts is not None
        self.keys = sorted(
            video.seconds(entry.timestamp) for entry in video.stream.index_entries if has_times and entry.is_keyframe)

    def to(self, time: float) -> tuple[float, VideoFrame] | None:
        """Go on to the frame shown at ``time``, which is not before any that was asked for earlier."""
        self._jump(time)
        while self.ahead is not None and self.ahead[0] <= time + CLOSE:
            self.shown, self.ahead = self.ahead, next(self.frames, None)
        if self.shown is None:
            self.shown = self.ahead
        if self.ahead is None and self.shown is not None and not _lasts(*self.shown, time):
            self.damage.ends(self.shown[0], time)
            return None
        return self.shown

    def _jump(self, time: float) -> None:
        """Go to the last keyframe before ``time`` where that is far ahead.

        The index has decoding times, which are never later than presentation times: a keyframe it puts before ``time``
        may yet be shown after it, and then the one before is taken.
        """
        last = bisect_right(self.keys, time) - 1
        if self.ahead is None or last < 0 or self.keys[last] < self.ahead[0] + SKIP_SECONDS:
            return
        for place in (last, last - 1, last - 2, 0):
            pts = self.video.pts(self.keys[max(place, 0)])
            self.video.container.seek(pts, stream=self.video.stream, backward=True)
            self.frames = decoded(self.video, self.damage)
            self.shown, self.ahead = None, next(self.frames, None)
            if self.ahead is not None and self.ahead[1].key_frame and self.ahead[0] <= time + CLOSE:
                return


def _lasts(begin: float, frame: VideoFrame, time: float) -> bool:
    """Whether the last frame may count as shown at ``time``."""
    length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    return time <= begin + length + END_SLACK


def decoded(video: OpenVideo, damage: Damage, keys_only: bool = False) -> Iterator[tuple[float, VideoFrame]]:
    """Every frame (or keyframe) from where the container stands, with its time, in the order the decoder gives them.

    A frame without a timestamp follows the one before by a frame's length. AVI files have decoding times only, and what
    FFmpeg makes of them is off by the decoder's delay: there frame i is shown when packet i is decoded.

    What cannot be decoded before the first frame is passed over, as a piece cut from a broadcast begins in the middle
    of a group of pictures; later, ``damage`` is told. A picky walk, with several threads, passes nothing over, as
    errors come in another order than frames. It holds frames back until those are sound that they may be made from,
    which can be shown later. And at the end of a file, where errors are kept from it, it looks whether the last packets
    have become frames.
    """
    import av

    packets = video.container.demux(video.stream)
    rate = video.stream.average_rate or video.stream.guessed_rate
    step = float(1 / rate) if rate else 0.04
    following, begun = 0.0, video.picky
    sent: deque[int | None] = deque(maxlen=_LAST)
    got: deque[int | None] = deque(maxlen=2 * _LAST)
    begins: deque[int | None] = deque()
    held: deque[tuple[float, VideoFrame]] = deque()
    is_avi = video.container.format.name == "avi"
    if keys_only:
        video.stream.codec_context.skip_frame = "NONKEY"
    while True:
        alive()
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except av.FFmpegError:
            if begun:
                damage.found(following)
            continue
        if packet is not None and packet.size and not packet.is_discard and (packet.is_keyframe or not keys_only):
            sent.append(packet.pts)
            begins.append(packet.dts)
        for frame in frames:
            got.append(frame.pts)
            pts = (begins.popleft() if begins else None) if is_avi else frame.pts
            time = following if pts is None else video.seconds(pts)
            following, begun = time + step, True
            if frame.is_corrupt:
                damage.found(time)
            if frame.key_frame or not keys_only:
                held.append((time, frame))
            if len(held) > (_REORDERED if video.picky else 0):
                yield held.popleft()
        if packet is None:
            if video.picky and not set(sent) <= set(got):
                damage.found(following)
            yield from held
            return
        if packet.is_corrupt and begun:
            damage.found(following)


class Damage:
    """Counts in ``notes`` what cannot be decoded; without notes, raises `Damaged` at the first."""

    def __init__(self, notes: list[str] | None) -> None:
        self.notes, self.count, self.first = notes, 0, 0.0

    def found(self, time: float) -> None:
        """A picture cannot be decoded, or is patched up."""
        if self.notes is None:
            raise Damaged(f"the picture at {time:.2f} s is damaged")
        if self.count:
            self.notes.pop()
        else:
            self.first = time
        self.count += 1
        self.notes.append(f"{self.count} pictures are damaged, the first at {self.first:.2f} s")

    def ends(self, time: float, wanted: float) -> None:
        """There is no picture after the one at ``time``."""
        words = f"the pictures end at {time:.2f} s, where one at {wanted:.2f} s was expected"
        if self.notes is None:
            raise Damaged(f"{words}: the file is cut off, or its header promises more than there is")
        self.notes.append(words)
