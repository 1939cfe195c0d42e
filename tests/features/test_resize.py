import numpy as np
import pytest
import torch
from PIL import Image

from features.detectors.resize import resize, target

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("resizer", "height", "width", "expected"), [
    ("opencv", 480, 640, (600, 800)), ("opencv", 333, 500, (600, 901)), ("opencv", 300, 640, (469, 1000)),
    ("opencv", 1, 1, (600, 600)), ("opencv", 1, 4000, (1, 1000)),
    ("pillow", 480, 640, (600, 800)), ("pillow", 333, 500, (600, 901)), ("pillow", 300, 640, (469, 1000)),
    # 2.5 pixels: cv2 rounds half to even, detectron2 half up
    ("opencv", 5, 2000, (2, 1000)), ("pillow", 5, 2000, (3, 1000)), ("torch", 5, 2000, (3, 1000)),
])
def test_the_shorter_side_becomes_600_unless_the_longer_would_pass_1000(resizer, height, width, expected):
    size = target(height, width, 600, 1000, resizer)
    assert (size.height, size.width) == expected
    if resizer == "opencv":  # one scale, of which the size is the rounding
        assert size.scale[0] == size.scale[1] == pytest.approx(min(600 / min(height, width), 1000 / max(height, width)),
                                                               rel=1e-3)
    else:
        assert size.scale == (expected[1] / width, expected[0] / height)


def by_hand(image, size):
    """cv2.resize with a scale, INTER_LINEAR: pixel centres keep to the scale, neighbours beyond the border are it."""
    def axis(count, length, scale):
        place = (np.arange(count) + 0.5) / scale - 0.5
        low = np.floor(place).astype(int)
        share = np.where((low < 0) | (low >= length - 1), 0, place - low)
        low = low.clip(0, length - 1)
        return low, (low + 1).clip(max=length - 1), share

    left, right, x = axis(size.width, image.shape[1], size.scale[0])
    top, bottom, y = axis(size.height, image.shape[0], size.scale[1])
    rows = image[top] * (1 - y)[:, None, None] + image[bottom] * y[:, None, None]
    return rows[:, left] * (1 - x)[:, None] + rows[:, right] * x[:, None]


@pytest.mark.parametrize(("height", "width"), [(33, 50), (100, 61), (7, 7)])
def test_opencvs_pixels_are_those_of_its_formula(height, width):
    image = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = target(height, width, 60, 97, "opencv")
    found = resize(image, size, "opencv", CPU).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, by_hand(image.astype(np.float64), size), atol=5e-3)


def test_pillows_pixels_are_whole_and_torchs_are_not():
    image = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    size = target(40, 60, 20, 99, "pillow")
    whole = resize(image, size, "pillow", CPU)
    pixels = np.asarray(Image.fromarray(image).resize((size.width, size.height), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(whole.permute(1, 2, 0), pixels)
    plain = resize(image, size, "torch", CPU)
    # At half the size torch looks at four neighbours, Pillow averages all it shrinks.
    np.testing.assert_allclose(plain[:, 3, 3], image[6:8, 6:8].mean((0, 1)), atol=2)
    assert not torch.equal(plain, plain.round())
