"""Batches of pictures with a caption each, as DAMSM and AttnGAN are trained on; light to import.

What is random (which caption, which words of a long one, which square of the picture, mirrored or not) follows from
(seed, epoch, picture).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.errors import HeedError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from features.text.symbols import Symbols
    from pipeline.annotations import Caption
    from pipeline.captioned_pictures import CaptionedPicture


@dataclass(frozen=True)
class PictureOptions:
    """How pictures and captions become a batch; defaults as published."""

    # Folder of the images, where it is not the captions' own.
    images: Path | None = None
    # Words of a caption that are read: a random choice of a longer one's, in their order. Published: 18 for the birds,
    # 12 (DAMSM 15) for COCO.
    words: int = 18
    # Cut a random square out of the picture enlarged by 76/64; otherwise the whole picture is scaled, and cut square.
    crop: bool = True
    # Mirror half of the pictures; turn off where captions tell left from right.
    flip: bool = True
    # Share of the images held out, half for validation and half for testing, where the captions have no splits.
    holdout: float = 0.2


@dataclass(frozen=True)
class PictureBatch:
    """What a training step takes."""

    pictures: list[Tensor]
    """One a size, (batch, 3, size, size) float32 in -1..1."""
    captions: list[Caption]
    tokens: Tensor
    """(batch, longest) int64, 0 behind a caption's end."""
    lengths: Tensor
    """(batch,) int64 on the CPU, at least 1."""
    labels: Tensor
    """(batch,) int64."""
    epoch: int

    @property
    def mask(self) -> Tensor:
        """(batch, longest) bool, True at words."""
        return self.tokens != 0


class CaptionedBatches:
    """The pictures of one split in batches of ``batch``, a random caption each.

    The last pictures of an epoch's order, fewer than a batch, wait for another epoch, as published: a loss that
    compares the pictures of a batch is another one in a smaller batch.
    """

    def __init__(self, pictures: Sequence[CaptionedPicture], vocabulary: Symbols, options: PictureOptions,
                 sizes: tuple[int, ...], batch: int, seed: int, device: torch.device) -> None:
        if len(pictures) < batch:
            raise HeedError(f"{len(pictures)} pictures are fewer than a batch of {batch}: lower --batch-size.")
        if batch < 2:
            raise HeedError("A batch needs two pictures at least: each is told from the others.")
        self.pictures, self.vocabulary, self.options = pictures, vocabulary, options
        self.sizes, self.batch, self.seed, self.device = sizes, batch, seed, device
        self.steps = len(pictures) // batch

    def epoch(self, epoch: int, first: int = 0) -> Iterator[PictureBatch]:
        """The batches of an epoch from its ``first`` on."""
        from pipeline.sampler import batch_rows, epoch_order

        order = epoch_order(len(self.pictures), self.seed, epoch)
        for step in range(first, self.steps):
            yield self.of(batch_rows(order, step, self.batch), epoch)

    def of(self, rows: Sequence[int] | np.ndarray, epoch: int = 0, pixels: bool = True, random: bool = True
           ) -> PictureBatch:
        """The batch of the given rows; without ``pixels`` no image is opened, without ``random`` all is in the middle.

        The captions are a random choice in either case.
        """
        import torch

        draws = [np.random.default_rng([self.seed, epoch, int(row)]) for row in rows]
        own = [self.pictures[row] for row in rows]
        captions = [picture.captions[rng.integers(len(picture.captions))]
                    for picture, rng in zip(own, draws, strict=True)]
        tokens, lengths = encode(captions, self.vocabulary, self.options.words, draws)
        stacks = []
        if pixels:
            seen = [self._squares(picture, rng if random else None) for picture, rng in zip(own, draws, strict=True)]
            stacks = [torch.from_numpy(np.stack(size)).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
                      for size in zip(*seen, strict=True)]
        labels = torch.tensor([picture.label for picture in own], device=self.device)
        return PictureBatch(stacks, captions, torch.from_numpy(tokens).to(self.device), torch.from_numpy(lengths),
                            labels, epoch)

    def _squares(self, picture: CaptionedPicture, rng: np.random.Generator | None) -> list[np.ndarray]:
        from features.crops import Cut, squares
        from features.images import decode_image

        cut = None
        if rng is not None and (self.options.crop or self.options.flip):
            left, top = rng.random(2)
            mirrored = self.options.flip and bool(rng.random() < 0.5)
            cut = Cut(left, top, mirrored)
        try:
            pixels = decode_image(picture.path.read_bytes())
        except (HeedError, OSError) as error:
            raise HeedError(f"The picture {picture.path} cannot be used: {error}.") from error
        return squares(pixels, self.sizes, picture.box, cut, enlarge=self.options.crop and rng is not None)


def encode(captions: Sequence[Caption], vocabulary: Symbols, words: int, draws: Sequence[np.random.Generator]
           ) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (captions, longest) int64, padded with 0, and their lengths; ``words`` at most, chosen by ``draws``.

    Raises `HeedError` for a caption of which the vocabulary knows no word.
    """
    from features.text import attngan

    rows = []
    for caption, rng in zip(captions, draws, strict=True):
        numbers = attngan.encode(caption.text, vocabulary)
        if not len(numbers):
            raise HeedError(f"The vocabulary of {len(vocabulary)} words knows none of the caption {caption.text!r}.")
        rows.append(attngan.choose(numbers, words, rng)[:len(numbers)])
    lengths = np.array([len(row) for row in rows], np.int64)
    tokens = np.zeros((len(rows), lengths.max()), np.int64)
    for row, numbers in zip(tokens, rows, strict=True):
        row[:len(numbers)] = numbers
    return tokens, lengths
