"""Frames by presentation time: a video is walked once, forwards, and only what is asked for is turned into pixels."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.errors import HeedError
from features.video.container import OpenVideo, VideoPath, open_video, reason
from features.video.pixels import Size, to_rgb

if TYPE_CHECKING:
    from av import VideoFrame

CLOSE = 1e-6
"""Seconds that a frame may begin after the time asked for: times are written with six decimals."""
END_SLACK = 1.0
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


def frames_at(
    path: VideoPath, times: Iterable[float], size: Size = None, *, threads: int = 0, notes: list[str] | None = None
) -> Iterator[Frame]:
    """The frame shown at each of ``times`` (seconds), in ascending order of time, as many as times were given.

    A time before the first frame gives the first one; the last frame stays on for a second after its end. Frames that
    are shown at several times come as often, with the same `Frame.time`. Memory does not grow with the video.
    ``threads`` 0 decodes with one thread a core.

    Raises `HeedError` with the reason alone, like `open_video`, and where a part cannot be decoded or the video ends
    before a time asked for (it is cut off, or its header promises more than there is). With ``notes`` those two are put
    into that list instead: what can be decoded is, and fewer frames than times may come.
    """
    wanted = sorted(float(time) for time in times)
    if not all(math.isfinite(time) for time in wanted):
        raise HeedError("a time asked for is not a finite number of seconds")
    with open_video(path, threads) as video:
        walk = _Walk(video, notes)
        made: Frame | None = None
        for time in wanted:
            shown = walk.to(time)
            if shown is None:
                return
            if made is None or made.time != shown[0]:
                made = Frame(shown[0], to_rgb(shown[1], size))
            yield made


def keyframes(
    path: VideoPath, size: Size = None, *, threads: int = 0, notes: list[str] | None = None
) -> Iterator[Frame]:
    """The frames that are coded without others, decoding nothing else; raises as `frames_at` does."""
    with open_video(path, threads) as video:
        video.stream.codec_context.skip_frame = "NONKEY"
        for time, frame in decoded(video, notes):
            if frame.key_frame:
                yield Frame(time, to_rgb(frame, size))


def frame_times(path: VideoPath, *, threads: int = 0, notes: list[str] | None = None) -> np.ndarray:
    """Time of every frame, in the order the decoder gives them, (n,) float64; raises as `frames_at` does."""
    with open_video(path, threads) as video:
        return np.array([time for time, _ in decoded(video, notes)], np.float64)


class _Walk:
    """A walk through a video's frames that looks one frame ahead."""

    def __init__(self, video: OpenVideo, notes: list[str] | None) -> None:
        self.video, self.notes = video, notes
        self.shown: tuple[float, VideoFrame] | None = None
        self.frames = decoded(video, notes)
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
        if self.ahead is None and self.shown is not None and not self._lasts(time):
            words = f"the pictures end at {self.shown[0]:.2f} s, where one at {time:.2f} s was expected"
            if self.notes is None:
                raise HeedError(f"{words}: the file is cut off, or its header promises more than there is")
            self.notes.append(words)
            return None
        return self.shown

    def _lasts(self, time: float) -> bool:
        assert self.shown is not None
        frame = self.shown[1]
        length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        return time <= self.shown[0] + length + END_SLACK

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
            self.frames = decoded(self.video, self.notes)
            self.shown, self.ahead = None, next(self.frames, None)
            if self.ahead is not None and self.ahead[1].key_frame and self.ahead[0] <= time + CLOSE:
                return


def decoded(video: OpenVideo, notes: list[str] | None = None) -> Iterator[tuple[float, VideoFrame]]:
    """Every frame from where the container stands, with its time, in the order the decoder gives them.

    A frame without a timestamp follows the one before by a frame's length. What cannot be decoded before the first
    frame is passed over, as a piece cut from a stream begins with the end of a group of pictures; later, it raises
    `HeedError`, or is counted in ``notes`` where that is given.
    """
    import av

    packets = video.container.demux(video.stream)
    rate = video.stream.average_rate or video.stream.guessed_rate
    step = float(1 / rate) if rate else 0.04
    following = None
    damage = _Damage(notes)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            damage.found(following, reason(error))
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
            if packet.is_corrupt:
                damage.found(following, "the file says that it is damaged or cut off")
        except av.FFmpegError as error:
            damage.found(following, reason(error))
            continue
        for frame in frames:
            time = following or 0.0 if frame.pts is None else video.seconds(frame.pts)
            length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step
            following = time + length
            yield time, frame


class _Damage:
    """Counts the packets that cannot be decoded, or raises at the first."""

    def __init__(self, notes: list[str] | None) -> None:
        self.notes, self.count, self.first = notes, 0, 0.0

    def found(self, time: float | None, why: str) -> None:
        if time is None:
            return
        if self.notes is None:
            raise HeedError(f"a piece at {time:.2f} s cannot be decoded: {why}")
        if self.count:
            self.notes.pop()
        else:
            self.first = time
        self.count += 1
        self.notes.append(f"{self.count} pieces cannot be decoded, the first at {self.first:.2f} s")
