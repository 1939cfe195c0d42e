"""The eight shapes: each a signed distance function, for drawing, and a hull of discs, for exact boxes.

Coordinates are the object's own: centre at the origin, y downwards, and everything within the unit circle. A signed
distance is negative inside. The distance to a heart and the fold of a star onto one of its wedges are after Inigo
Quilez, "2D distance functions" (iquilezles.org/articles/distfunctions2d).

As in `fields`, only arithmetic that IEEE 754 defines to the last bit is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from pipeline.scenes.fields import Field, unit

_ROUNDING = 0.08


@cache
def turn(degrees: float) -> tuple[float, float]:
    """Cosine and sine of an angle, rounded so that no machine's libm shows."""
    return round(math.cos(math.radians(degrees)), 9), round(math.sin(math.radians(degrees)), 9)


def _length(x: Field, y: Field) -> Field:
    square = x * x
    square += y * y
    return np.sqrt(square, out=square)


def _circle(x: Field, y: Field) -> Field:
    return _length(x, y) - 0.9


def _ring(x: Field, y: Field) -> Field:
    return np.abs(_length(x, y) - 0.68) - 0.24


def _square(x: Field, y: Field) -> Field:
    core = 0.74 - 0.12
    dx, dy = np.abs(x) - core, np.abs(y) - core
    return _length(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - 0.12


def _cross(x: Field, y: Field) -> Field:
    arm, half = 0.92 - _ROUNDING, 0.33 - _ROUNDING
    x, y = np.abs(x), np.abs(y)
    x, y = np.maximum(x, y), np.minimum(x, y)
    end, side = x - arm, y - half
    outside = _length(np.maximum(end, 0), np.maximum(side, 0))
    inside = np.minimum(-end, _length(np.maximum(half - x, 0), side))
    return np.where(np.maximum(end, side) > 0, outside, -inside) - _ROUNDING


def _wedge(tip: float, notch: float, mirrors: tuple[float, ...], wedge: float, x: Field, y: Field) -> Field:
    """Distance to a star (or regular polygon) whose tips lie at ``tip`` and notches at ``notch`` from the centre.

    Angles in degrees from straight up: ``mirrors`` fold the right half plane onto the wedge 0..``wedge``.
    """
    x, y = np.abs(x), -y
    for angle in mirrors:  # reflect what lies clockwise of the line at this angle
        cosine, sine = turn(angle)
        beyond = x * cosine
        beyond -= y * sine
        np.maximum(beyond, 0, out=beyond)
        x -= beyond * (2 * cosine)
        beyond *= 2 * sine
        y += beyond
    np.abs(x, out=x)
    cosine, sine = turn(wedge)
    edge_x, edge_y = notch * sine, notch * cosine - tip
    y -= tip
    square = edge_x * edge_x + edge_y * edge_y
    along = x * (edge_x / square)
    along += y * (edge_y / square)
    unit(along)
    inside = x * edge_y > y * edge_x
    x -= along * edge_x
    along *= edge_y
    y -= along
    distance = _length(x, y)
    return np.negative(distance, where=inside, out=distance)


def _triangle(x: Field, y: Field) -> Field:
    tip = 1.02 - 2 * 0.1
    return _wedge(tip, tip / 2, (60.0,), 60.0, x, y + _TRIANGLE_DROP) - 0.1


def _star(x: Field, y: Field) -> Field:
    return _wedge(1.0 - _ROUNDING, 0.46, (108.0, 36.0), 36.0, x, y) - _ROUNDING


_HEART = 0.72
_HEART_DROP = 0.53
_TRIANGLE_DROP = -0.12


def _heart(x: Field, y: Field) -> Field:
    x, y = np.abs(x) * _HEART, _HEART_DROP - y * _HEART
    lobe = _length(x - 0.25, y - 0.75) - 0.125**0.5
    foot = np.maximum(x + y, 0) / 2
    side = np.minimum(x * x + (y - 1) * (y - 1), (x - foot) * (x - foot) + (y - foot) * (y - foot))
    flank = np.sqrt(side)
    flank = np.where(x < y, -flank, flank)
    return (np.where(x + y > 1, lobe, flank) - 0.03) / _HEART


_DISC, _BITE, _BITE_X = 0.94 - 0.05, 0.8 + 0.05, 0.54
_HORN_X = (_DISC**2 + _BITE_X**2 - _BITE**2) / (2 * _BITE_X)
_HORN_Y = (_DISC**2 - _HORN_X**2) ** 0.5


def _moon(x: Field, y: Field) -> Field:
    """A disc less a disc at its right, with rounded horns."""
    y = np.abs(y)
    arcs = np.maximum(_length(x, y) - _DISC, _BITE - _length(x - _BITE_X, y))
    horn = _length(x - _HORN_X, y - _HORN_Y)
    # Past the normals of both arcs at the horn, the horn is nearest.
    past = np.minimum(x * _HORN_Y - y * _HORN_X, (x - _BITE_X) * _HORN_Y - y * (_HORN_X - _BITE_X)) > 0
    return np.where(past, horn, arcs) - 0.05


SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
"""Names of the shapes; a shape's id is its place here."""

DISTANCE: dict[str, Callable[[Field, Field], Field]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "star": _star,
    "heart": _heart, "ring": _ring, "cross": _cross, "moon": _moon,
}
"""Shape -> signed distance at float32 coordinates (x, y), in units of the object's radius."""


def _hull(shape: str) -> np.ndarray:
    """(k, 3) x, y, radius of discs whose convex hull is the shape's."""
    if shape == "circle":
        return np.array([[0, 0, 0.9]])
    if shape == "ring":
        return np.array([[0, 0, 0.92]])
    if shape == "square":
        return np.array([[sx * 0.62, sy * 0.62, 0.12] for sx in (-1, 1) for sy in (-1, 1)])
    if shape == "cross":
        arm, half = 0.92 - _ROUNDING, 0.33 - _ROUNDING
        ends = [(sx * arm, sy * half) for sx in (-1, 1) for sy in (-1, 1)]
        return np.array([[*end, _ROUNDING] for end in ends + [(y, x) for x, y in ends]])
    if shape == "heart":
        lobe_y = (_HEART_DROP - 0.75) / _HEART
        lobe = (0.125**0.5 + 0.03) / _HEART
        foot = [0, _HEART_DROP / _HEART, 0.03 / _HEART]
        return np.array([[-0.25 / _HEART, lobe_y, lobe], [0.25 / _HEART, lobe_y, lobe], foot])
    if shape == "moon":  # the outer arc, from horn to horn
        start = math.degrees(math.acos(_HORN_X / _DISC))
        turns = [turn(start + (360 - 2 * start) * i / 64) for i in range(65)]
        return np.array([[_DISC * cosine, _DISC * sine, 0.05] for cosine, sine in turns])
    points, tip, rounding, drop = (3, 0.82, 0.1, -_TRIANGLE_DROP) if shape == "triangle" else (5, 0.92, _ROUNDING, 0)
    corners = [turn(360 * i / points) for i in range(points)]
    return np.array([[tip * sine, drop - tip * cosine, rounding] for cosine, sine in corners])


HULLS = {shape: _hull(shape) for shape in SHAPES}


@cache
def extent(shape: str, degrees: int) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the shape turned clockwise on the screen, in radii."""
    cosine, sine = turn(degrees)
    x, y, radius = HULLS[shape].T
    across, down = x * cosine - y * sine, x * sine + y * cosine
    return (float((across - radius).min()), float((down - radius).min()),
            float((across + radius).max()), float((down + radius).max()))
