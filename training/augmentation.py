"""Pictures for a classifier: timm's augmentations, drawn from (seed, epoch, image) and nothing else.

Each picture's random choices are seeded on their own, so that they are the same in whichever process it is read, and
after an interrupted training goes on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from features.images import decode_image
from pipeline.datasets.labelled_images import LabelledImages
from pipeline.sampler import Order, batch_rows, sample_order
from training.augmentation_config import AugmentConfig


def training_transform(config: AugmentConfig, size: int, mean: Sequence[float], std: Sequence[float]) -> Callable:
    """A PIL picture to a tensor (3, size, size), augmented."""
    from timm.data import create_transform

    return create_transform(size, is_training=True, scale=(config.crop, 1.0), hflip=config.flip, color_jitter=0.0,
                            auto_augment=config.policy or None, re_prob=config.erase, interpolation="bicubic",
                            mean=tuple(mean), std=tuple(std))


def evaluation_transform(size: int, crop: float, mean: Sequence[float], std: Sequence[float]) -> Callable:
    """A PIL picture to a tensor (3, size, size): resized to size / ``crop``, its middle cut out."""
    from timm.data import create_transform

    return create_transform(size, is_training=False, crop_pct=crop, interpolation="bicubic", mean=tuple(mean),
                            std=tuple(std))


def make_mixer(config: AugmentConfig, classes: int) -> Any:
    """timm's mixup and cutmix for whole batches, or None where neither is asked for."""
    if not config.mixup and not config.cutmix:
        return None
    from timm.data import Mixup

    return Mixup(config.mixup, config.cutmix, label_smoothing=config.smoothing, num_classes=classes)


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Inside, Python's, NumPy's and torch's random numbers follow from ``numbers``; outside they go on as before."""
    words = np.random.SeedSequence(numbers).generate_state(2)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  timm draws from these
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(int(words[0]))
            np.random.seed(int(words[1]))  # noqa: NPY002
            torch.manual_seed(int(words[0]))
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


class Pictures(torch.utils.data.Dataset):
    """A split's pictures as tensors, read by (epoch, number); epoch -1 is for evaluation."""

    def __init__(self, images: LabelledImages, classes: Sequence[str], transform: Callable, seed: int) -> None:
        place = {name: number for number, name in enumerate(classes)}
        self.images, self.transform, self.seed = images, transform, seed
        self.targets = np.array([place.get(label, -1) for label in images.labels], np.int64)
        """The class's number of each image; -1 for one that training has not."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, number = place
        picture = Image.fromarray(decode_image(self.images.files[number]))
        with seeded(self.seed, epoch + 1, number):
            return self.transform(picture), int(self.targets[number])


def epoch_batches(
    pictures: Pictures, epoch: int, batch: int, first: int, workers: int, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches ``first``, ``first`` + 1, … of an epoch in its random order: pictures (n, 3, size, size), classes (n,).

    ``workers`` processes read them; 0 reads here. The order, and what is done to each picture, do not depend on it.
    """
    order = sample_order(Order(pictures.seed), epoch, len(pictures), batch)
    steps = range(first, -(-len(order) // batch))
    return _load(pictures, [[(epoch, int(n)) for n in batch_rows(order, step, batch, rank, world)] for step in steps],
                 workers)


def all_batches(pictures: Pictures, batch: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every picture once, in order, for evaluation."""
    batches = [range(first, min(first + batch, len(pictures))) for first in range(0, len(pictures), batch)]
    return _load(pictures, [[(-1, number) for number in numbers] for numbers in batches], workers)


def _load(pictures: Pictures, batches: list, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    # A generator of its own: the loader would take a number from the one that dropout draws from.
    yield from torch.utils.data.DataLoader(pictures, batch_sampler=batches, num_workers=workers,
                                           generator=torch.Generator())
