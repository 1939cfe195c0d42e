"""The kinds of scenes there are pictures of."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.scenes.rng import Random
from pipeline.scenes.shapes import SHAPES, extent
from pipeline.scenes.signs import sign_scene
from pipeline.scenes.world import COLOURS, SIZES, TEXTURES, Scene, SceneObject, scene

_RADIUS = {"small": 0.15, "medium": 0.21, "large": 0.28}
_EDGE = 0.02


def few_scene(seed: int, index: int) -> Scene:
    """A scene of one or two large objects in a studio: for pictures of 64 pixels that a small model can learn to paint.

    Two objects differ in shape and colour, never overlap, and are not both large.
    """
    random = Random(seed, index, 13)
    wanted = 1 + (random.chance(0.4))
    objects: list[SceneObject] = []
    while len(objects) < wanted:
        shape, colour = random.choice(SHAPES), random.choice(COLOURS)
        size, texture = random.choice(SIZES), random.choice(TEXTURES)
        degrees, tone = random.integer(31) - 15, random.uniform(-1, 1)
        radius = _RADIUS[size] * random.uniform(0.95, 1.05) * (0.85 if wanted == 2 else 1)
        x1, y1, x2, y2 = (edge * radius for edge in extent(shape, degrees))
        if any(shape == o.shape or colour == o.colour or size == o.size == "large" for o in objects):
            continue
        for _ in range(30):
            x = random.uniform(_EDGE - x1, 1 - _EDGE - x2)
            y = random.uniform(_EDGE - y1, 1 - _EDGE - y2)
            room = [radius + o.radius for o in objects]
            if all((x - o.x) * (x - o.x) + (y - o.y) * (y - o.y) >= r * r for o, r in zip(objects, room, strict=True)):
                objects.append(SceneObject(len(objects), shape, colour, size, texture, x, y, radius, degrees, tone))
                break
        else:
            objects = []
    return Scene(seed, index, tuple(objects), "studio")


FLAVOURS: dict[str, Callable[[int, int], Scene]] = {"objects": scene, "signs": sign_scene, "few": few_scene}
"""Flavour -> its scene from (seed, index): 3 to 8 objects; objects and signs to read; one or two large objects."""
