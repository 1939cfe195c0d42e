"""What a video is, and at which times to look at it."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from features.errors import HeedError
from features.video.container import OpenVideo, VideoPath, alive, open_video, pyav
from features.video.frames import Damage, decoded
from features.video.pixels import quarter_turns, upright_size

if TYPE_CHECKING:
    from av import VideoStream

TAIL_SECONDS = 10
"""How much of a file's end is read to learn where its pictures end."""
MAX_TIMES = 1_000_000
"""More frames of one video are never sampled: a damaged header may promise a thousand years."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of itself, and its first frame."""

    duration: float
    """Seconds from time 0 to the end of the pictures, by the file's own word."""
    fps: float
    """Frames a second on average; 0 where the file does not say."""
    frames: int
    """Frames by the file's own word, which may be wrong; 0 where it does not say."""
    width: int
    height: int
    """Pixels of an upright frame."""
    rotation: int
    """Degrees clockwise, 0 to 270, by which stored pictures are turned to be upright; mirroring is not told here."""
    has_audio: bool
    start: float
    """What the file's clock shows at time 0."""
    codec: str
    """FFmpeg's name of the pictures' format, such as h264."""


def probe(path: VideoPath) -> VideoInfo:
    """What the video at ``path`` is; raises `HeedError` like `open_video`, and where no frame can be decoded."""
    with open_video(path) as video:
        stream, container = video.stream, video.container
        first = next(decoded(video, Damage([])), None)
        if first is None:
            raise HeedError("the file holds no frame that can be decoded")
        width, height = upright_size(first[1])
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            duration=promised_duration(path, video), fps=float(rate or 0), frames=stream.frames,
            width=width, height=height, rotation=90 * quarter_turns(first[1]),
            has_audio=bool(container.streams.audio), start=float(video.start), codec=stream.codec_context.name,
        )


def promised_duration(path: VideoPath, video: OpenVideo) -> float:
    """Seconds of the pictures by the file's own word: the least of what its parts say.

    Where it speaks of no stream alone its last packets tell, as sound may be longer than pictures; where they are not
    there, the file is cut off, and its promise stands.
    """
    stream, container = video.stream, video.container
    whole = Fraction(container.duration + max(container.start_time or 0, 0), 1_000_000) if container.duration else None
    own = _tagged_duration(stream)
    if stream.duration and stream.time_base:
        own = (stream.duration + (stream.start_time or 0)) * stream.time_base
    if own is None:
        own = _end_of_packets(path, whole)
    end = min(own, whole) if own is not None and whole is not None else own or whole or video.start
    return float(max(end - video.start, Fraction(0)))


def _tagged_duration(stream: VideoStream) -> Fraction | None:
    """Matroska's tag DURATION, HH:MM:SS.fraction, which ffmpeg and mkvmerge write."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except (KeyError, ValueError, ZeroDivisionError):
        return None


def _end_of_packets(path: VideoPath, whole: Fraction | None, tail: bool = True) -> Fraction | None:
    """Where the last picture ends, by reading packets without decoding them; None where the file is cut off.

    If the length of the ``whole`` is known only its ``tail`` is read, unless there are no pictures in it.
    """
    av = pyav()
    with open_video(path) as video:
        if whole is not None and tail and whole > TAIL_SECONDS:
            try:
                video.container.seek(int((whole - TAIL_SECONDS) * 1_000_000), backward=True)
            except av.FFmpegError:
                return _end_of_packets(path, whole, tail=False)
        step = 1 / Fraction(video.stream.average_rate or video.stream.guessed_rate or 25)
        ends: dict[int, Fraction] = {}
        count = 0
        with suppress(av.FFmpegError):
            for packet in video.container.demux():
                alive()
                if packet.pts is not None and packet.time_base:
                    end = packet.pts * packet.time_base + ((packet.duration or 0) * packet.time_base or step)
                    ends[packet.stream_index] = max(ends.get(packet.stream_index, end), end)
                count += packet.size > 0 and packet.stream_index == video.stream.index
        if whole is not None and max(ends.values(), default=Fraction(0)) < whole - 1:
            return None
        if whole is not None and tail and video.stream.index not in ends:
            return _end_of_packets(path, whole, tail=False)
        return ends.get(video.stream.index, video.start + count * step)


def sample_times(info: VideoInfo, fps: float | None = None, count: int | None = None) -> np.ndarray:
    """Times to look at a video, ascending, as float64 seconds: at a rate, or a number of them.

    ``fps`` gives 0, 1/fps, 2/fps, … before the end, at least one. ``count`` gives the middles of that many equal parts.
    Raises `HeedError` where not exactly one of them is given and positive, or more than `MAX_TIMES` would come.
    """
    if (fps is None) == (count is None) or (fps or count or 0) <= 0:
        raise HeedError(f"frames are chosen by a rate or by a number above 0, one of the two, not {fps} and {count}")
    number = count if count is not None else max(1, math.ceil(round(info.duration * (fps or 0), 6)))
    if number > MAX_TIMES:
        raise HeedError(f"{number:,} frames would come of {info.duration:.0f} s, more than {MAX_TIMES:,}; is the file "
                        "damaged, or the rate wrong?")
    if count is not None:
        return (np.arange(number) + 0.5) * info.duration / number
    return np.arange(number) / float(fps or 1)
