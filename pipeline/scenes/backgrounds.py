"""The settings a scene can be in, each a picture made from a few random numbers.

A background is planar: (3, size, size) float32, 0..1. Lengths are fractions of the side, so that a scene looks the same
at every size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from pipeline.scenes.fields import Field, colour, grid, mix, noise, smooth, unit, wave
from pipeline.scenes.rng import Random


def _palette(*rows: str) -> list[list[Field]]:
    return [[colour(code) for code in row.split()] for row in rows]


def _noise(random: Random, size: int, columns: int, rows: int) -> Field:
    return noise(size, columns, rows, random.integer(4))


_STUDIO = _palette(
    "#c9d6df #b3c2cd #f4f8fa", "#e6d5c3 #d3bda6 #fdf6ee", "#cfd8c9 #b8c4b1 #f5f9f1",
    "#d9cfe3 #c3b5d1 #f8f4fc", "#e8cfcf #d6b6b6 #fdf3f3",
)


def _studio(random: Random, size: int) -> Field:
    """A sweep of paper: a pool of light on a wall that runs smoothly into the floor."""
    x, y = grid(size)
    wall, floor, light = random.choice(_STUDIO)
    cx, cy = random.uniform(0.3, 0.7), random.uniform(0.2, 0.4)
    horizon = random.uniform(0.5, 0.65)
    base = mix(wall, floor, smooth(y, horizon - 0.06, horizon + 0.06))
    pool = unit(1 - ((x - cx) * (x - cx) + (y - cy) * (y - cy)) * 1.7)
    pool *= pool
    pool *= 0.75
    return mix(base, light, pool)


_TABLE = _palette("#b98a5e #e2bd93", "#cba87c #efd9b8", "#a9835f #d5b492", "#bfae98 #e9dfcf")


def _table(random: Random, size: int) -> Field:
    """Planks of wood with grain, seen from above."""
    _, y = grid(size)
    dark, light = random.choice(_TABLE)
    planks = 4 + random.integer(3)
    place = y * planks + random.uniform()
    plank = np.floor(place)
    within = place - plank
    tones = np.array([random.uniform(-0.15, 0.15) for _ in range(planks + 1)], np.float32)
    tone = tones[plank.astype(np.int64).ravel()][:, None]
    wood = wave(_noise(random, size, 3, 24) * 0.55 + (within * 3.3 + tone * 40))
    wood *= 0.13
    wood += _noise(random, size, 7, 80) * 0.16
    wood += tone + 0.5
    gap = smooth(np.minimum(within, 1 - within), 0.0, planks * 0.009)
    wood *= gap * 0.4 + 0.6
    wood += (gap - 1) * 0.8
    return mix(dark, light, wood)


_WALL = _palette(
    "#a9c4cf #e4f0f4 #f6f8f8", "#b9cdb4 #eaf3e6 #f8f8f4", "#d8c2b0 #f6eae0 #fbf8f4", "#c3bfd6 #efedf7 #f8f8fb",
)


def _wall(random: Random, size: int) -> Field:
    """Glazed tiles with pale joints."""
    x, y = grid(size)
    dark, light, joint = random.choice(_WALL)
    across, high = random.choice(((5, 5), (4, 8), (6, 6)))
    row = y * high + random.uniform()
    layer = np.floor(row)
    bond = 0.0 if across == high else 0.5  # half a brick further in every other layer
    column = layer % 2 * bond + (x * across + random.uniform())
    number = np.floor(column)
    column -= number
    row = row - layer
    rim = np.minimum((0.5 - np.abs(column - 0.5)) / across, (0.5 - np.abs(row - 0.5)) / high)
    glaze = number * 0.618034 + layer * 0.381966 * 7.13
    glaze -= np.floor(glaze)
    glaze *= 0.3
    column *= -0.16
    glaze += column
    glaze += row * -0.16 + 0.55
    glaze += _noise(random, size, 4, 4) * 0.1
    return mix(joint, mix(dark, light, glaze), smooth(rim, 0.003, 0.011))


_PAPER = _palette("#fbf7ec #b9d3e4", "#f4f6f8 #c4cfdc", "#fdf3e3 #e2c7a8", "#f1f7ee #b9d4b8")


def _paper(random: Random, size: int) -> Field:
    """Squared paper with the faint unevenness of paper."""
    x, y = grid(size)
    sheet, ink = random.choice(_PAPER)
    cells = 9 + random.integer(5)

    def ruled(line: Field) -> Field:
        place = line * cells + random.uniform()
        return smooth(np.abs(place - np.rint(place)) * (1 / cells), 0.007, 0.002) * 0.55

    picture = mix(sheet, ink, np.maximum(ruled(x), ruled(y)))
    picture += _noise(random, size, 5, 5) * 0.02 + _noise(random, size, 60, 60) * 0.012 - (x + y) * 0.035
    return picture


_SKY = _palette(
    "#8fc3ea #dff0fa #ffffff", "#a8b8e8 #f9dfd6 #fff4ec", "#9ad0d6 #e9f5ea #ffffff", "#f2b9a0 #fbe7c6 #fff6e6",
)


def _sky(random: Random, size: int) -> Field:
    """A sky from deep to pale with soft clouds."""
    _, y = grid(size)
    top, bottom, cloud = random.choice(_SKY)
    fleece = _noise(random, size, 7, 11) * 0.5
    fleece += _noise(random, size, 3, 5)
    fleece += _noise(random, size, 16, 22) * 0.22
    return mix(mix(top, bottom, y), cloud, smooth(fleece, 0.0, 1.0) * 0.85)


_HILLS = _palette(
    "#d6ebf5 #c2dcc8 #98c19a", "#fbe3d0 #e9c6b4 #cf9f92", "#e3e0f4 #c7c5e2 #a09fc9", "#f8efcf #dfdcae #bcc07f",
)


def _hills(random: Random, size: int) -> Field:
    """Three ranges of hills under a pale sky, paler with distance."""
    x, y = grid(size)
    sky, far, near = random.choice(_HILLS)
    picture = mix(sky, np.ones_like(sky), (1 - y) * 0.25) + np.zeros_like(x)
    for layer in range(3):
        ridge = wave(x * random.uniform(0.7, 1.3) + random.uniform()) * 0.06
        ridge += wave(x * random.uniform(1.8, 2.6) + random.uniform()) * 0.022
        ridge += 0.42 + 0.19 * layer + random.uniform(-0.03, 0.03)
        top = int(size * float(ridge.min()))
        below = y[top:] - ridge
        shade = (far + (near - far) * (layer / 2)) * (1.04 - unit((y[top:] - float(ridge.min())) * 2) * 0.16)
        picture[:, top:] = mix(picture[:, top:], shade, unit(below * size + 0.5))
    return picture


_NIGHT = _palette("#4a5590 #a58fc0", "#3f5f86 #8fb3c4", "#5a4a80 #d09aa8")


def _night(random: Random, size: int) -> Field:
    """A starry dusk."""
    _, y = grid(size)
    top, bottom = random.choice(_NIGHT)
    picture = mix(top, bottom, unit(_noise(random, size, 4, 4) * 0.05 + y))
    return mix(picture, np.ones_like(top), _stars(size, random.integer(8)))


@lru_cache(maxsize=16)
def _stars(size: int, variant: int) -> Field:
    """(size, size): how bright the stars of one of a few skies shine."""
    random, sky = Random(variant, 78), np.zeros((size, size), np.float32)
    x, y = grid(size)
    for _ in range(24):
        radius, glow = random.uniform(0.004, 0.011), random.uniform(0.4, 0.9)
        x_off, y_off = x - random.uniform(), y - random.uniform()
        sky = np.maximum(sky, unit(1 - (x_off * x_off + y_off * y_off) * (1 / (radius * radius))) * glow)
    return sky


BACKGROUNDS: dict[str, Callable[[Random, int], Field]] = {
    "studio": _studio, "table": _table, "wall": _wall, "paper": _paper, "sky": _sky, "hills": _hills, "night": _night,
}
"""Setting -> its picture from a random stream at a size."""
