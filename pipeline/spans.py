"""How a video or a sound is cut into clips, and at which times each is looked at.

Clip i lasts from i to i + 1 times its length. What is left at the end becomes a clip of its own if it is half a clip or
longer, and ends where the video does; a shorter rest belongs to no clip. So do the published CLIP features of
QVHighlights, as ffmpeg's fps filter rounds to the nearest: 150.03 s are 75 clips of 2 s. (The published SlowFast
features keep any rest, ``last="keep"``; training cuts all to the shortest.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from features.errors import HeedError

Last = Literal["half", "keep", "drop"]
"""What becomes of a rest at the end: a clip if it is at least half as long as one, always, or never."""
CLOSE = 1e-3
"""Seconds by which a rest may miss a limit: durations are told in frames or milliseconds."""
MAX_CLIPS = 1_000_000
"""More clips are never cut: a damaged header may promise a thousand years."""


def clip_spans(duration: float, seconds: float, last: Last = "half") -> np.ndarray:
    """Start and end of each clip, (n, 2) float64 seconds; at least one clip.

    Raises `HeedError` for a clip without length and where more than `MAX_CLIPS` would come.
    """
    if not seconds > 0:
        raise HeedError(f"A clip of {seconds} seconds has no length.")
    if not duration / seconds < MAX_CLIPS:
        raise HeedError(f"{duration / seconds:,.0f} clips would come of {duration:,.0f} s, more than {MAX_CLIPS:,}; is "
                        "the file damaged, or a clip too short?")
    whole = int((duration + CLOSE) / seconds)
    rest = duration - whole * seconds
    more = {"half": rest >= seconds / 2 - CLOSE, "keep": rest > CLOSE, "drop": False}[last]
    starts = np.arange(max(1, whole + more)) * seconds
    ends = starts + seconds
    if whole < len(starts):
        ends[-1] = duration
    return np.stack([starts, ends], 1)


def sample_times(spans: np.ndarray, seconds: float, count: int, duration: float) -> np.ndarray:
    """``count`` times in each clip, (n, count): the middles of as many equal parts of a whole clip.

    Where the last clip is shorter than the others, the last time before the end stands for those behind it, as the
    published extractors repeat the last frame; where there is none, the clip's start does.
    """
    times = spans[:, :1] + (np.arange(count) + 0.5) * seconds / count
    before = max(1, int((times[-1] < duration - CLOSE).sum()))
    if times[-1, 0] >= duration - CLOSE:
        times[-1, 0] = spans[-1, 0]
    times[-1, before:] = times[-1, before - 1]
    return times


def windows_of(seconds: float, frames: int, rate: float) -> int:
    """Windows in a clip for an encoder of ``frames`` at once, trained at ``rate`` a second: the number whose frames,
    spread evenly over the clip, come nearest to that rate. 1 for an encoder of images (a ``rate`` of 0)."""
    return max(1, round(seconds * rate / frames)) if rate else 1
