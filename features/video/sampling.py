"""Which frames of a video are wanted, and how large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from features.errors import HeedError
from features.video.container import VideoPath
from features.video.frames import Frame, frames_at, keyframes
from features.video.info import VideoInfo, sample_times
from features.video.pixels import Size


@dataclass(frozen=True)
class Sampling:
    """Exactly one of the first four says which frames."""

    fps: float | None = None
    """At 0, 1/fps, 2/fps, … seconds."""
    count: int | None = None
    """The middles of this many equal parts."""
    keyframes: bool = False
    """Those that are coded without others."""
    times: tuple[float, ...] | None = None
    """Those shown at these seconds; () where they are not known yet."""
    size: Size = None
    """Short side, or (width, height), in pixels; None as the video is."""
    partial: bool = False
    """Take what can be decoded of a damaged video, and note it, where otherwise it fails."""
    threads: int = 0
    """Decoding threads, 0 for one a core; the frames of a sound video do not depend on it."""

    def __post_init__(self) -> None:
        given = [name for name in ("fps", "count", "times") if getattr(self, name) is not None]
        given += ["keyframes"] if self.keyframes else []
        if len(given) != 1:
            raise HeedError("frames are chosen by a rate, a number, keyframes or given times, one of them; "
                            f"here {' and '.join(given) or 'none'} is asked for")
        if any(value is not None and value <= 0 for value in (self.fps, self.count)):
            raise HeedError(f"{given[0]} must be more than 0")
        if self.size is not None and min(self.size if isinstance(self.size, tuple) else (self.size,)) <= 0:
            raise HeedError(f"frames cannot be {self.size} pixels large")


def sampled(path: VideoPath, info: VideoInfo, sampling: Sampling, notes: list[str]) -> Iterator[Frame]:
    """The frames that ``sampling`` wants, one after the other; raises as `frames_at` does, or fills ``notes``."""
    written = notes if sampling.partial else None
    if sampling.keyframes:
        return keyframes(path, sampling.size, threads=sampling.threads, notes=written)
    times = sampling.times
    if times == ():
        raise HeedError("no times are given for it")
    if times is None:
        times = tuple(sample_times(info, sampling.fps, sampling.count))
    return frames_at(path, times, sampling.size, threads=sampling.threads, notes=written)
