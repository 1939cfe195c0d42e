"""Scenes as pixels."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.scenes import SETTINGS, SHAPES, render, scene
from pipeline.scenes.shapes import DISTANCE

place = st.floats(-1.5, 1.5, width=32)


def test_pixels_follow_from_seed_and_index():
    first = render(scene(0, 7), 96)
    assert first.shape == (96, 96, 3) and first.dtype == np.uint8
    assert first.tobytes() == render(scene(0, 7), 96).tobytes()
    pictures = {render(scene(seed, index), 64).tobytes() for seed in range(2) for index in range(10)}
    assert len(pictures) == 20


def test_pixels_are_those_of_every_other_machine():
    pictures = b"".join(render(scene(0, index), 160).tobytes() for index in range(12))
    # Changes only together with pipeline.scenes.dataset.VERSION.
    assert hashlib.sha256(pictures).hexdigest() == "ae0c0474d90fc7658edd1e53b8eee5f7e9d96621cd36c7a28b8cb3086f71a920"


def test_objects_show_their_colour_and_setting_shows_elsewhere():
    labels = set()
    for index in range(40):
        s = scene(1, index)
        labels.add(s.label)
        pixels = render(s, 96).astype(int)
        for item in s.objects:
            if (item.colour, item.texture, item.shape) in {("red", "plain", x) for x in ("circle", "square", "heart")}:
                red, green, blue = pixels[int(item.y * 96), int(item.x * 96)]
                assert red > 2 * green and red > 2 * blue
    assert labels == set(SETTINGS)


def test_the_same_scene_looks_the_same_at_every_size():
    for index in range(6):
        s = scene(2, index)
        small = render(s, 80).astype(float)
        large = render(s, 320).astype(float).reshape(80, 4, 80, 4, 3).mean((1, 3))
        assert np.abs(small - large).mean() < 6


@pytest.mark.parametrize("shape", SHAPES)
@given(x=place, y=place, dx=place, dy=place)
def test_distances_never_change_faster_than_the_way_gone(shape, x, y, dx, dy):
    def distance(x, y):
        return float(DISTANCE[shape](np.full((1, 1), x, np.float32), np.full((1, 1), y, np.float32))[0, 0])

    assert abs(distance(x + dx, y + dy) - distance(x, y)) <= math.hypot(dx, dy) + 1e-5
    assert distance(x, y) > 0 or math.hypot(x, y) <= 1.001  # all within the unit circle


@pytest.mark.parametrize(("shape", "area"), [
    ("circle", math.pi * 0.9**2), ("ring", math.pi * (0.92**2 - 0.44**2)),
    ("square", 4 * 0.74**2 - (4 - math.pi) * 0.12**2),
    # A triangle of circumradius 0.82 grown by 0.1 (Steiner's formula: area + perimeter r + pi r^2).
    ("triangle", 3 * 3**0.5 / 4 * 0.82**2 + 3 * 3**0.5 * 0.82 * 0.1 + math.pi * 0.1**2),
])
def test_shapes_have_the_area_of_their_formula(shape, area):
    line = (np.arange(800, dtype=np.float32) + 0.5) / 400 - 1
    x, y = np.meshgrid(line, line)
    inside = DISTANCE[shape](x, y) < 0
    assert inside.mean() * 4 == pytest.approx(area, rel=2e-3)


def test_too_small_a_picture_is_refused():
    with pytest.raises(HeedError, match="32 pixels"):
        render(scene(0, 0), 16)
