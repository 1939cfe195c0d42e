"""Pictures for AttnGAN, beside torchvision's transforms, which its code calls."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from features.crops import Cut, around, squares


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("width", "height"), [(50, 40), (33, 90), (76, 76)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_squares_are_torchvisions_scale_crop_and_flip(width: int, height: int, mirrored: bool) -> None:
    pixels = picture(width, height)
    enlarged = transforms.Resize(int(64 * 76 / 64))(Image.fromarray(pixels))
    top, left = (enlarged.height - 64) // 2, enlarged.width - 64
    cut = transforms.functional.crop(enlarged, top, left, 64, 64)
    if mirrored:
        cut = transforms.functional.hflip(cut)
    room = enlarged.height - 64
    found = squares(pixels, (16, 32, 64), cut=Cut(0.999999, (top + 0.5) / (room + 1), mirrored))
    assert [len(square) for square in found] == [16, 32, 64]
    np.testing.assert_array_equal(found[2], np.asarray(cut))
    np.testing.assert_array_equal(found[1], np.asarray(transforms.Resize(32)(cut)))
    np.testing.assert_array_equal(found[0], np.asarray(transforms.Resize(16)(cut)))


def test_without_enlarging_the_whole_picture_is_there() -> None:
    pixels = picture(64, 64)
    np.testing.assert_array_equal(squares(pixels, (64,), enlarge=False)[0], pixels)


@pytest.mark.parametrize(("box", "expected"), [
    ((20, 30, 40, 20), (10, 10, 70, 70)),     # radius 30 about (40, 40)
    ((0, 0, 41, 61), (0, 0, 65, 75)),         # radius int(45.75) = 45 about (20, 30), cut off at the corner
    ((90, 70, 8, 8), (88, 68, 100, 80)),      # and at the other one
])
def test_the_box_of_a_bird_becomes_a_square_about_its_middle(
    box: tuple[int, int, int, int], expected: tuple[int, int, int, int]
) -> None:
    assert around(100, 80, box) == expected
