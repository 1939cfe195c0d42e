"""A video as pictures, and the boxes of its actors in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from features.errors import HeedError
from pipeline.scenes.backgrounds import BACKGROUNDS
from pipeline.scenes.draw import PAINT, Paint, draw_object, to_pixels
from pipeline.scenes.fields import mix
from pipeline.scenes.rng import Random
from pipeline.scenes.video.motion import pose
from pipeline.scenes.video.world import Actor, Pose, Video
from pipeline.scenes.world import SceneObject


def draw_frames(of: Video, size: int, fps: int) -> Iterator[np.ndarray]:
    """Every frame of the video as (size, size, 3) uint8 RGB; frame k shows time k / fps, the same on every machine."""
    if size < 32 or size % 2:
        raise HeedError(f"A scenes video of {size} pixels cannot be made: its side is even, and 32 pixels at least.")
    shown, background = -1, np.empty(0)
    for number in range(of.seconds * fps):
        time = number / fps
        if of.shot_at(time) != shown:
            shown = of.shot_at(time)
            background = BACKGROUNDS[of.shots[shown].label](Random(of.seed, of.index, 22, shown), size)
        canvas = background.copy()
        for actor in of.actors:
            if actor.shot == shown and (now := pose(of, actor, time)) is not None:
                draw_object(canvas, _as_object(actor, now), _paint(now))
        yield to_pixels(canvas)


def boxes_at(of: Video, time: float, size: int) -> dict[int, tuple[float, float, float, float]]:
    """Actor id -> its xyxy box in pixels at a time, cut at the picture's sides; only of what is to be seen."""
    boxes = {}
    for actor in of.actors:
        now = pose(of, actor, time)
        if now is not None:
            x1, y1, x2, y2 = (min(max(edge, 0.0), 1.0) * size for edge in _as_object(actor, now).box)
            if x2 - x1 >= 1 and y2 - y1 >= 1:
                boxes[actor.id] = (x1, y1, x2, y2)
    return boxes


def _paint(now: Pose) -> Paint:
    base, accent = PAINT[now.colour]
    if now.towards is None:
        return base, accent
    part = np.full((1, 1, 1), now.blend, np.float32)
    return mix(base, PAINT[now.towards][0], part), mix(accent, PAINT[now.towards][1], part)


def _as_object(actor: Actor, now: Pose) -> SceneObject:
    return SceneObject(actor.id, actor.shape, now.colour, now.size, actor.texture, now.x, now.y, now.radius,
                       now.degrees, actor.tone)
