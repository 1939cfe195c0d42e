"""Frames as networks see them, against torchvision's own transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from features.encoders.pixels import Pixels
from features.errors import HeedError

SIZES = [(120, 213), (213, 120), (64, 64), (97, 300)]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def noise(height: int, width: int) -> np.ndarray:
    rough = np.random.default_rng(height).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize", "crop", "filter"), [(80, (64, 64), "bicubic"), ((90, 70), (64, 48), "bilinear")])
def test_images_are_prepared_as_torchvision_prepares_them(size, resize, crop, filter) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="compared with torchvision")
    image, pixels = noise(*size), Pixels(resize, crop, MEAN, STD, filter)
    published = transforms.Compose([
        transforms.Resize(resize, transforms.InterpolationMode(filter)), transforms.CenterCrop(crop),
        transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    ours = pixels.normalise(torch.from_numpy(pixels.prepare(image)))
    assert torch.equal(ours, published(Image.fromarray(image)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", [(72, 96), 72])
def test_videos_are_prepared_as_torchvisions_video_models_are(size, resize) -> None:
    presets = pytest.importorskip("torchvision.transforms._presets", reason="compared with torchvision")
    frames = np.stack([noise(*size), 255 - noise(*size)])
    pixels = Pixels(resize, (64, 64), MEAN, STD, "bilinear", antialias=False)
    published = presets.VideoClassification(
        crop_size=(64, 64), resize_size=resize if isinstance(resize, tuple) else (resize,), mean=MEAN, std=STD)
    ours = pixels.normalise(torch.from_numpy(np.stack([pixels.prepare(frame) for frame in frames])))
    assert torch.equal(ours.transpose(0, 1), published(torch.from_numpy(frames).permute(0, 3, 1, 2)))


def test_a_frame_of_the_right_size_is_not_touched() -> None:
    image = noise(64, 64)
    assert (Pixels(64, (64, 64), MEAN, STD).prepare(image) == image).all()


def test_a_middle_larger_than_the_frame_is_refused() -> None:
    with pytest.raises(HeedError, match="larger than they are"):
        Pixels(64, (80, 80), MEAN, STD)
