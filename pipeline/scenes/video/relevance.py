"""Which 2-second clips of a video belong to a query, and how well: windows and saliency, as QVHighlights has them.

There three people rate each relevant clip from 0 (very bad) to 4 (very good), and windows are runs of relevant clips
(Lei et al. 2021, "QVHighlights", §3). Here a clip is relevant where the query's events fill at least half of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.scenes.rng import Random
from pipeline.scenes.video.world import CLIP, Video

RATERS = 3
"""Ratings a clip."""
_WEIGHT = {"small": -0.4, "medium": 0.0, "large": 0.4}


@dataclass(frozen=True)
class Relevance:
    """The clips of one query; there is one at least."""

    windows: tuple[tuple[int, int], ...]
    """[start, end) in seconds, even, in order, with a gap between any two."""
    clips: tuple[int, ...]
    """Numbers of the relevant clips: the union of the windows."""
    saliency: tuple[tuple[int, ...], ...]
    """`RATERS` ratings 0..4 of each relevant clip."""


def relevance(of: Video, query: int, events: tuple[int, ...]) -> Relevance:
    """The clips of query number ``query``, which is about ``events``.

    A clip rates higher the more of it an event fills and the larger the actor is; raters differ by bias and by chance.
    """
    random = Random(of.seed, of.index, 26, query)
    told = [of.events[i] for i in events]
    biases = [random.uniform(-0.6, 0.6) for _ in range(RATERS)]
    clips, saliency = [], []
    for clip in range(of.seconds // CLIP):
        start = clip * CLIP
        filled = sum(max(0.0, min(e.end, start + CLIP) - max(e.start, start)) for e in told) / CLIP
        if filled >= 0.5:
            before = told[0].before
            worth = 1.4 + 2.4 * min(filled, 1.0) + (0.0 if before is None else _WEIGHT[before.size])
            clips.append(clip)
            saliency.append(tuple(
                min(4, max(0, round(worth + bias + random.uniform(-0.6, 0.6)))) for bias in biases
            ))
    windows: list[tuple[int, int]] = []
    for clip in clips:
        if windows and windows[-1][1] == clip * CLIP:
            windows[-1] = (windows[-1][0], (clip + 1) * CLIP)
        else:
            windows.append((clip * CLIP, (clip + 1) * CLIP))
    return Relevance(tuple(windows), tuple(clips), tuple(saliency))
