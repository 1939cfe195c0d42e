"""AttnGAN's data folders, data/birds and data/coco, as its release has them.

    {train,test}/filenames.pickle     keys: image paths without their endings
    {train,test}/class_info.pickle    a class each (birds); where it is missing every picture is its own class
    captions.pickle                   vocabulary and numbered captions (`attngan_captions`), or else
    text/KEY.txt                      captions, one a line
    CUB_200_2011/images/KEY.jpg       birds, with CUB_200_2011/images.txt and bounding_boxes.txt
    images/KEY.jpg                    COCO

The first 10 captions of a bird and 5 of a COCO picture count. Pickles are read without running anything in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.errors import HeedError
from features.restricted import load, text
from features.text import attngan
from features.text.symbols import Symbols
from pipeline.annotations import Caption
from pipeline.captioned_pictures import CaptionedPicture, check
from pipeline.datasets.attngan_captions import read_pickle

_CUB = "CUB_200_2011"
_SPLITS = {"train": "train", "val": "test", "test": "test"}


def recognises(path: Path) -> bool:
    """Whether this is such a folder."""
    return (path / "train" / "filenames.pickle").is_file() or (path / "test" / "filenames.pickle").is_file()


def read_pictures(folder: Path, split: str, images: Path | None = None) -> list[CaptionedPicture]:
    """The pictures of a split, val being test, in the published order; ``images`` overrides where their files are.

    Raises `HeedError` for what is missing or damaged.
    """
    published = _SPLITS[split]
    keys = _names(folder, published)
    captions = _captions(folder, published, keys)
    labels = _labels(folder, published, len(keys))
    birds = (folder / _CUB).is_dir()
    boxes = _boxes(folder / _CUB) if birds else {}
    root = images or (folder / _CUB / "images" if birds else folder / "images")
    lacking = [key for key in keys if birds and key not in boxes]
    if lacking:
        raise HeedError(f"{folder / _CUB} has no bounding box of {lacking[0]!r}, nor of {len(lacking) - 1} others.")
    found = [CaptionedPicture(key, root / f"{key}.jpg", own, label, boxes.get(key))
             for key, own, label in zip(keys, captions, labels, strict=True)]
    check(found, folder, split)
    return found


def read_vocabulary(folder: Path) -> Symbols:
    """That of captions.pickle, or one built from the texts of train and test."""
    if (folder / "captions.pickle").is_file():
        return read_pickle(folder / "captions.pickle").vocabulary
    return attngan.build(caption.text for split in ("train", "test")
                         for own in _captions(folder, split, _names(folder, split)) for caption in own)


def _captions(folder: Path, split: str, keys: list[str]) -> list[tuple[Caption, ...]]:
    if not (folder / "captions.pickle").is_file():
        return [_texts(folder, key) for key in keys]
    pickled = read_pickle(folder / "captions.pickle")
    numbered = pickled.train if split == "train" else pickled.test
    each = len(numbered) // len(keys) if keys else 0
    if each < 1 or each * len(keys) != len(numbered):
        raise HeedError(f"{folder / 'captions.pickle'} has {len(numbered)} captions for {len(keys)} {split} pictures; "
                        "every picture must have as many.")
    texts = [" ".join(pickled.vocabulary.decode(numbers)) for numbers in numbered]
    return [_named(key, texts[place * each:(place + 1) * each]) for place, key in enumerate(keys)]


def _texts(folder: Path, key: str) -> tuple[Caption, ...]:
    path = folder / "text" / f"{key}.txt"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    said = [line.replace("\ufffd\ufffd", " ").strip() for line in lines]
    said = [line for line in said if attngan.tokenize(line)][:10 if (folder / _CUB).is_dir() else 5]
    if not said:
        raise HeedError(f"{path} holds no caption.")
    return _named(key, said)


def _named(key: str, texts: list[str]) -> tuple[Caption, ...]:
    return tuple(Caption(f"{key}#{number}", key, said) for number, said in enumerate(texts))


def _names(folder: Path, split: str) -> list[str]:
    names = _pickled(folder / split / "filenames.pickle")
    keys = [text(name, "a file name") for name in names]
    for key in keys:
        if key.startswith(("/", "\\")) or ".." in Path(key).parts:
            raise HeedError(f"{folder / split / 'filenames.pickle'} names {key!r}, which is outside the data folder.")
    return keys


def _labels(folder: Path, split: str, pictures: int) -> list[int]:
    path = folder / split / "class_info.pickle"
    if not path.is_file():
        return list(range(pictures))
    labels = [int(label) for label in _pickled(path)]
    if len(labels) != pictures:
        raise HeedError(f"{path} has {len(labels)} classes for {pictures} pictures.")
    return labels


def _pickled(path: Path) -> list[Any]:
    try:
        value = load(path.read_bytes())
        if not hasattr(value, "__len__") or isinstance(value, str | bytes | dict):
            raise HeedError(f"it holds {type(value).__name__} where a list is expected")
        return list(value)
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    except HeedError as error:
        raise HeedError(f"{path} is not AttnGAN's: {error}.") from error


def _boxes(cub: Path) -> dict[str, tuple[int, int, int, int]]:
    """Key -> x, y, width, height; numbers are cut, not rounded, as published."""
    try:
        names = dict(line.split() for line in (cub / "images.txt").read_text(encoding="utf-8").splitlines())
        boxes: dict[str, tuple[int, int, int, int]] = {}
        for line in (cub / "bounding_boxes.txt").read_text(encoding="utf-8").splitlines():
            number, *box = line.split()
            x, y, width, height = (int(float(edge)) for edge in box)
            boxes[names[number].rpartition(".")[0]] = x, y, width, height
        return boxes
    except OSError as error:
        raise HeedError(f"{cub} lacks images.txt or bounding_boxes.txt: {error.strerror or error}.") from error
    except (ValueError, KeyError) as error:
        raise HeedError(f"{cub}: images.txt and bounding_boxes.txt do not go together: {error!r}.") from error
