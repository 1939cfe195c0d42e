"""Pictures with their captions, to learn to paint from: out of AttnGAN's data folders, or what heed's readers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import HeedError
from features.text import attngan
from features.text.symbols import Symbols
from pipeline.annotations import Caption


@dataclass(frozen=True)
class CaptionedPicture:
    """One picture and all that is said of it."""

    key: str
    path: Path
    captions: tuple[Caption, ...]
    """At least one."""
    label: int
    """Pictures of one label, such as birds of one kind, are no negatives of each other."""
    box: tuple[int, int, int, int] | None = None
    """x, y, width and height in pixels of what the captions are about; None for the whole picture."""


def read_pictures(captions: Path, split: str, images: Path | None = None, holdout: float = 0.2
                  ) -> list[CaptionedPicture]:
    """The pictures of a split ("train", "val" or "test"), in the order of their first captions.

    ``captions`` is AttnGAN's data folder (data/birds, data/coco), a scenes folder, or a captions file that heed reads,
    whose images lie in the folder ``images``. AttnGAN's folders have no val: it is their test split, on which the
    published pretraining validates too. Raises `HeedError` where anything is missing.
    """
    from pipeline.datasets import attngan_folder, read_captions

    if attngan_folder.recognises(captions):
        return attngan_folder.read_pictures(captions, split, images)
    folder = images or captions / "images"
    if not folder.is_dir():
        raise HeedError(f"There is no folder of images {folder}: name it with --images.")
    said: dict[str, list[Caption]] = {}
    for caption in read_captions(captions, split, holdout=holdout):
        said.setdefault(caption.key, []).append(caption)
    found = [CaptionedPicture(key, folder / key, tuple(own), label) for label, (key, own) in enumerate(said.items())]
    check(found, captions, split)
    return found


def read_vocabulary(captions: Path) -> Symbols:
    """The words of all splits, number 0 the padding: that of captions.pickle where there is one."""
    from pipeline.datasets import attngan_folder, read_captions

    if attngan_folder.recognises(captions):
        return attngan_folder.read_vocabulary(captions)
    splits = [read_captions(captions, split) for split in ("train", "val", "test")]
    return attngan.build(caption.text for split in splits for caption in split)


def check(pictures: Sequence[CaptionedPicture], source: Path, split: str) -> None:
    """Raise `HeedError` where there are no pictures, or one's file is missing."""
    if not pictures:
        raise HeedError(f"{source} has no captioned pictures for {split}.")
    missing = [picture for picture in pictures if not picture.path.is_file()]
    if missing:
        raise HeedError(f"{len(missing)} of the {len(pictures)} pictures that {source} has captions of are not there, "
                        f"for example {missing[0].path}.")
