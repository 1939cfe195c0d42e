"""A scene as pixels: each object a bevelled, textured tile under one lamp, with a soft shadow.

Every object is drawn on its own patch from its signed distance d in pixels: coverage clip(1/2 - d, 0, 1) smooths the
edge, d moved away from the lamp gives the shadow, and the slope of a profile over d towards the lamp the light.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from features.errors import HeedError
from pipeline.scenes.backgrounds import BACKGROUNDS
from pipeline.scenes.fields import Field, colour, grid, smooth, unit
from pipeline.scenes.lettering import write_line
from pipeline.scenes.rng import Random
from pipeline.scenes.shapes import DISTANCE, turn
from pipeline.scenes.world import Scene, SceneObject, Sign

Paint = tuple[Field, Field]
"""An object's paint and the paint of the pattern on it, (3, 1, 1) float32 each."""

PAINT: dict[str, Paint] = {
    "red": (colour("#dd2e36"), colour("#ffc9bd")),
    "orange": (colour("#f5871f"), colour("#ffe3b8")),
    "yellow": (colour("#fad02c"), colour("#c98a00")),
    "green": (colour("#2f9e54"), colour("#c6efbe")),
    "blue": (colour("#2a6fdb"), colour("#bfe0ff")),
    "purple": (colour("#8038b4"), colour("#e3c6fb")),
    "pink": (colour("#f78fb8"), colour("#fff0f5")),
    "black": (colour("#33363f"), colour("#b9bec9")),
}
"""Colour -> its paints."""

_INK = {"black": colour("#22242b"), "white": colour("#fdfcf7")}
_PALE = ("orange", "yellow", "pink")
LINE_PITCH = 1.45
"""From one line of a sign to the next, as a fraction of the letters' height."""

# Fractions of the image's side: how far a shadow falls to the right and down, and how far its edge is smeared.
_FALL, _BLUR = (0.016, 0.026), 0.022
_DARK = 0.42
# Width of the bevel as a fraction of an object's radius.
_BEVEL = 0.34


def render(scene: Scene, size: int) -> np.ndarray:
    """The scene as (size, size, 3) uint8 RGB; the same bytes on every machine. Raises `HeedError` below 32 pixels."""
    if size < 32:
        raise HeedError(f"A scene of {size} pixels is too small to see anything in; render at 32 pixels or more.")
    canvas = BACKGROUNDS[scene.label](Random(scene.seed, scene.index, 2), size)
    for item in scene.objects:
        draw_object(canvas, item)
    for sign in scene.signs:
        draw_sign(canvas, sign)
    return to_pixels(canvas)


def to_pixels(canvas: Field) -> np.ndarray:
    """A canvas (3, height, width) as (height, width, 3) uint8; the canvas is used up."""
    unit(canvas)
    canvas *= 255
    canvas += 0.5
    picture = np.empty((*canvas.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(canvas.astype(np.uint8)):  # six times faster than one transposed copy
        picture[:, :, channel] = plane
    return picture


def silhouette(item: SceneObject, size: int) -> Field:
    """(size, size) float32: how much of each pixel the object covers, whatever is drawn over it."""
    return _cover(_distance(item, *grid(size), size)[0])


def _cover(distance: Field) -> Field:
    return unit(0.5 - distance)


def _distance(item: SceneObject, x: Field, y: Field, size: int) -> tuple[Field, Field, Field]:
    """Signed distance in pixels at x, y (fractions of the side), and the object's own coordinates there, in radii."""
    cosine, sine = (part / item.radius for part in turn(item.degrees))
    x, y = x - item.x, y - item.y
    own_x, own_y = x * cosine + y * sine, y * cosine - x * sine
    distance = DISTANCE[item.shape](own_x, own_y)
    distance *= item.radius * size
    return distance, own_x, own_y


def draw_object(canvas: Field, item: SceneObject, paint: Paint | None = None) -> None:
    """Paint one object and its shadow over the canvas (3, size, size), in place; it may reach outside.

    ``paint`` is there for an object on its way from one colour to another; without it the object's own is taken.
    """
    size = canvas.shape[1]
    base, accent = paint or PAINT[item.colour]
    base = base * (1 + 0.05 * item.tone)

    def fill(own_x: Field, own_y: Field) -> Field:
        if item.texture == "plain":
            return base
        radius = item.radius * size
        pattern = _PATTERNS[item.texture](own_x * radius, own_y * radius, _period(item) * size)
        return (accent - base) * pattern + base

    stamp(canvas, item.box, item.radius, lambda x, y: _distance(item, x, y, size), fill)


def draw_sign(canvas: Field, sign: Sign) -> None:
    """Paint a sign over the canvas (3, size, size), in place: a framed board with lines of letters."""
    size = canvas.shape[1]
    ink = _INK["black" if sign.colour in _PALE else "white"]
    board = PAINT[sign.colour][0]
    round_off, frame = 0.25 * sign.letters, 0.2 * sign.letters * size

    def distance(x: Field, y: Field) -> tuple[Field, Field, Field]:
        across = np.abs(x - sign.x) - (sign.width / 2 - round_off)
        down = np.abs(y - sign.y) - (sign.height / 2 - round_off)
        outside = np.maximum(across, 0) ** 2 + np.maximum(down, 0) ** 2
        field = (np.sqrt(outside) + np.minimum(np.maximum(across, down), 0) - round_off) * size
        return field, field, field

    def fill(field: Field, _: Field) -> Field:
        line = unit(np.float32(max(1.0, 0.09 * sign.letters * size) / 2 + 0.5) - np.abs(field + 1.7 * frame))
        return board + (ink - board) * line

    stamp(canvas, sign.box, 0.3 * sign.letters, distance, fill)
    for line, (x, y) in zip(sign.lines, line_centres(sign), strict=True):
        write_line(canvas, line, x, y, sign.letters, ink)


def line_centres(sign: Sign) -> list[tuple[float, float]]:
    """x, y of the middle of each of a sign's lines."""
    pitch, middle = LINE_PITCH * sign.letters, (len(sign.lines) - 1) / 2
    return [(sign.x, sign.y + (i - middle) * pitch) for i in range(len(sign.lines))]


def stamp(
    canvas: Field, box: tuple[float, float, float, float], radius: float,
    distance: Callable[[Field, Field], tuple[Field, Field, Field]], fill: Callable[[Field, Field], Field],
) -> None:
    """Paint a bevelled thing and its shadow over the canvas (3, size, size), in place; it may reach outside.

    ``box`` and ``radius``, which the bevel goes by, are fractions of the side. ``distance`` gives, at x, y in such
    fractions, the signed distance in pixels and two more fields; ``fill`` makes of these two, within the box, a paint.
    """
    size = canvas.shape[1]
    right, down = max(1, round(_FALL[0] * size)), max(1, round(_FALL[1] * size))
    # The slope towards the lamp is measured over twice the step, in pixels: it rounds the ridges.
    blur, step = _BLUR * size, max(1, round(radius * size * 0.04))
    box = (box[0] * size, box[1] * size, box[2] * size, box[3] * size)
    # The field begins at pixel (x0, y0) and ends before (x3, y3), also outside the image.
    reach = math.ceil(max(blur, step + 1)) + 1
    x0, y0 = math.floor(box[0]) - reach - right, math.floor(box[1]) - reach - down
    x3, y3 = math.ceil(box[2]) + reach + right, math.ceil(box[3]) + reach + down
    if x3 <= 0 or y3 <= 0 or x0 + right >= size or y0 + down >= size:
        return
    x = (np.arange(x0, x3, dtype=np.float32) + 0.5)[None, :] * (1 / size)
    y = (np.arange(y0, y3, dtype=np.float32) + 0.5)[:, None] * (1 / size)
    field, own_x, own_y = distance(x, y)

    # The shadow is the field moved by whole pixels.
    x1, y1, x2, y2 = max(0, x0 + right), max(0, y0 + down), min(size, x3), min(size, y3)
    shadow = smooth(field[y1 - down - y0:y2 - down - y0, x1 - right - x0:x2 - right - x0], blur, -blur)
    shadow *= -_DARK
    shadow += 1
    canvas[:, y1:y2, x1:x2] *= shadow

    # Only the box of the object itself is left to paint.
    x1, y1, x2, y2 = max(0, int(box[0])), max(0, int(box[1])), min(size, int(box[2]) + 1), min(size, int(box[3]) + 1)
    inner = (slice(y1 - y0, y2 - y0), slice(x1 - x0, x2 - x0))
    if x2 <= x1 or y2 <= y1:
        return
    patch = canvas[:, y1:y2, x1:x2]
    cover = _cover(field[inner])
    light, shine = _light(field, inner, radius * size, step)
    light *= cover
    shine *= cover
    patch *= 1 - cover
    patch += fill(own_x[inner], own_y[inner]) * light
    patch += shine


def _light(field: Field, inner: tuple[slice, slice], radius: float, step: int) -> tuple[Field, Field]:
    """Diffuse factor and added shine of the bevel in the part ``inner`` of a distance field in pixels.

    The profile rises as a parabola from the edge to a flat top at the bevel's width; the lamp is up and to the left.
    """
    rows, columns = inner
    wide = field[rows.start - step:rows.stop + step, columns.start - step:columns.stop + step]
    depth = wide * (1 / (_BEVEL * radius))
    depth += 1
    unit(depth)
    depth *= depth
    slope = depth[:-2 * step, :-2 * step] - depth[2 * step:, 2 * step:]
    slope *= _BEVEL * radius / (5.66 * step)  # the profile's slope, 1 at most, along the diagonal
    light = slope * 0.47
    light += 1
    slope *= 2.2
    slope -= 0.9
    unit(slope)
    slope *= slope
    slope *= 0.4
    return light, slope


def _period(item: SceneObject) -> float:
    """Period of an object's pattern as a fraction of the image's side: finer on smaller objects, but never too fine."""
    return 0.027 + 0.19 * item.radius


def _away(place: Field, period: float) -> Field:
    """Distance to the nearest multiple of the period, in the unit of both."""
    part = place * (1 / period)
    part -= np.rint(part)
    np.abs(part, out=part)
    part *= period
    return part


def _stripes(x: Field, y: Field, period: float) -> Field:
    """Slanting stripes."""
    return unit(_away(x * 0.8 + y * 0.6, period) + (0.5 - 0.25 * period))


def _dots(x: Field, y: Field, period: float) -> Field:
    """Dots on a lattice and on the centres of its cells."""
    pitch = period * 1.3
    x, y = _away(x, pitch), _away(y, pitch)
    other_x, other_y = pitch / 2 - x, pitch / 2 - y
    nearest = np.sqrt(np.minimum(x * x + y * y, other_x * other_x + other_y * other_y))
    return unit((0.5 + 0.23 * pitch) - nearest)


def _checks(x: Field, y: Field, period: float) -> Field:
    """A chequerboard."""
    pitch = period * 1.2
    a = unit(_away(x, pitch) + (0.5 - pitch / 4))
    b = unit(_away(y, pitch) + (0.5 - pitch / 4))
    return a + b - 2 * a * b


_PATTERNS = {"striped": _stripes, "dotted": _dots, "checked": _checks}
