"""What is in a scene: objects with attributes and places, sampled from (seed, index) and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.scenes.rng import Random
from pipeline.scenes.shapes import SHAPES, extent

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
"""Names of the object colours; a colour's id is its place here."""
SIZES = ("small", "medium", "large")
"""Names of the sizes; a size's id is its place here."""
TEXTURES = ("plain", "striped", "dotted", "checked")
"""Names of the textures; a texture's id is its place here."""
SETTINGS = ("studio", "table", "wall", "paper", "sky", "hills", "night")
"""What a scene's background shows: its label."""

RADIUS = {"small": 0.075, "medium": 0.115, "large": 0.165}
"""Radius of the circle around an object, as a fraction of the image's side, before a jitter of 5 %."""
PREDICATES = ("left of", "right of", "above", "below")
"""The relations between two objects."""

_TURN = {"circle": 180, "ring": 180, "star": 36, "moon": 180, "square": 18, "triangle": 22, "heart": 22, "cross": 18}
"""Largest turn either way in degrees: what a shape bears without being taken for another (a square for a diamond)."""
_EDGE = 0.012
_SIZE_ODDS = ("small",) * 6 + ("medium",) * 8 + ("large",) * 6


@dataclass(frozen=True)
class SceneObject:
    """One object; lengths are fractions of the image's side, y downwards."""

    id: int
    """Its place in the scene; later objects are drawn over earlier ones."""
    shape: str
    colour: str
    size: str
    texture: str
    x: float
    """Centre of the circle around it."""
    y: float
    radius: float
    """Radius of that circle."""
    degrees: int
    """Turn, clockwise on the screen."""
    tone: float
    """-1..1: how light this object's paint came out."""

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the whole silhouette, also where other objects hide some of it."""
        x1, y1, x2, y2 = extent(self.shape, self.degrees)
        return (self.x + x1 * self.radius, self.y + y1 * self.radius,
                self.x + x2 * self.radius, self.y + y2 * self.radius)

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Its shape, colour, size and texture by those names."""
        return {"shape": self.shape, "colour": self.colour, "size": self.size, "texture": self.texture}


@dataclass(frozen=True)
class Sign:
    """A board with one or two lines to read; lengths are fractions of the image's side."""

    id: int
    """Its place among the scene's signs."""
    lines: tuple[str, ...]
    """A word or number each, in capitals."""
    colour: str
    """Of the board; its letters are black or white."""
    x: float
    """Centre."""
    y: float
    width: float
    height: float
    letters: float
    """Height of its letters."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of the board."""
        return (self.x - self.width / 2, self.y - self.height / 2, self.x + self.width / 2, self.y + self.height / 2)


@dataclass(frozen=True)
class Scene:
    """A scene before it is drawn at any size."""

    seed: int
    index: int
    objects: tuple[SceneObject, ...]
    label: str
    """Its setting, one of `SETTINGS`."""
    signs: tuple[Sign, ...] = ()
    """Signs; only scenes of the flavour "signs" have any."""

    @cached_property
    def relations(self) -> tuple[tuple[int, str, int], ...]:
        """Every (subject id, predicate, object id) that holds clearly; with each its inverse."""
        return tuple(
            (subject.id, name, other.id) for subject in self.objects for other in self.objects
            if subject.id != other.id and (name := predicate(subject, other)) is not None
        )

    def boxes(self, size: int) -> np.ndarray:
        """(objects, 4) float32 xyxy boxes in pixels of the scene drawn at ``size`` x ``size``."""
        return np.array([o.box for o in self.objects], dtype=np.float64).astype(np.float32) * np.float32(size)


def scene(seed: int, index: int) -> Scene:
    """The scene number ``index`` of the dataset ``seed``: 3 to 8 objects that overlap a little at most.

    No two have all four attributes in common, so that each can be named by itself.
    """
    random = Random(seed, index, 1)
    wanted = 3 + random.integer(6)
    objects: list[SceneObject] = []
    while len(objects) < wanted:
        placed = place_object(random, objects)
        if placed is not None:
            objects.append(placed)
        elif len(objects) >= 3:
            break
        else:  # crowded before there are three: start again
            objects = []
    return Scene(seed, index, tuple(objects), random.choice(SETTINGS))


def place_object(random: Random, objects: list[SceneObject]) -> SceneObject | None:
    """A new object where there is room for it, smaller if need be; None if there is none at all."""
    shape, colour = random.choice(SHAPES), random.choice(COLOURS)
    size, texture = random.choice(_SIZE_ODDS), random.choice(TEXTURES)
    if objects and random.chance(0.3):  # something to count, and something only size or texture tells apart
        twin = random.choice(objects)
        shape = twin.shape
        if random.chance(0.6):
            colour = twin.colour
        if random.chance(0.5):
            texture = twin.texture
    degrees = random.integer(2 * _TURN[shape] + 1) - _TURN[shape]
    jitter, tone = random.uniform(0.95, 1.05), random.uniform(-1, 1)
    x1, y1, x2, y2 = extent(shape, degrees)
    for smaller in SIZES[SIZES.index(size)::-1]:
        if any((o.shape, o.colour, o.size, o.texture) == (shape, colour, smaller, texture) for o in objects):
            continue  # no phrase could tell the two apart
        radius = RADIUS[smaller] * jitter
        for _ in range(25):
            x = random.uniform(_EDGE - x1 * radius, 1 - _EDGE - x2 * radius)
            y = random.uniform(_EDGE - y1 * radius, 1 - _EDGE - y2 * radius)
            if all(apart(x - o.x, y - o.y, radius, o.radius) for o in objects):
                return SceneObject(len(objects), shape, colour, smaller, texture, x, y, radius, degrees, tone)
    return None


def apart(dx: float, dy: float, a: float, b: float) -> bool:
    """Whether two circles of radii a and b overlap by less than half of the smaller radius."""
    room = a + b - 0.45 * min(a, b)
    return dx * dx + dy * dy >= room * room


def predicate(subject: SceneObject, other: SceneObject) -> str | None:
    """The one clear relation of subject to other, or None.

    Clear means: a gap of at least 1 % of the image's side between the boxes in that direction, and centres further
    apart in that direction than 1.5 times the other one.
    """
    ax1, ay1, ax2, ay2 = subject.box
    bx1, by1, bx2, by2 = other.box
    dx, dy = (bx1 + bx2 - ax1 - ax2) / 2, (by1 + by2 - ay1 - ay2) / 2
    if abs(dx) >= 1.5 * abs(dy):
        if bx1 - ax2 >= 0.01:
            return "left of"
        if ax1 - bx2 >= 0.01:
            return "right of"
    elif abs(dy) >= 1.5 * abs(dx):
        if by1 - ay2 >= 0.01:
            return "above"
        if ay1 - by2 >= 0.01:
            return "below"
    return None


def relations(of: Scene) -> list[tuple[int, str, int]]:
    """Every (subject id, predicate, object id) that holds clearly; with each its inverse."""
    return list(of.relations)
