"""Images with one label each: ImageNet's folders, WebDataset's tars, rendered scenes, or a heed store of frames.

FOLDER/{train,val,test}/CLASS/…
    the class folder; where there is no test folder val stands for it, as in ImageNet's use
FOLDER/CLASS/…
    the class folder; splits by a hash of the key (`pipeline.datasets.coco_captions.split_of`)
a scenes folder
    the setting it was rendered in
name-{split}-*.tar
    the part ``cls`` (or ``txt``) beside the picture, as WebDataset's ImageNet has it; {split} is filled in
a heed store of frames
    the first folder in the key; the picture is a row's middle frame; splits by a hash of the key
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from features.errors import HeedError
from pipeline.datasets.coco_captions import split_of
from pipeline.datasets.scenes import read_labels
from pipeline.fields import frames_from_row
from pipeline.identity import IDENTITY_FILE
from pipeline.sources import IMAGE_SUFFIXES, Item, open_source, read_bytes
from pipeline.store import Store
from pipeline.tars.indexed import TarSamples

SPLITS = ("train", "val", "test")
_PICTURES = tuple(suffix.lstrip(".") for suffix in sorted(IMAGE_SUFFIXES))


class Files(Protocol):
    """Image files by number; can be sent to a loader's processes."""

    def __getitem__(self, number: int) -> bytes: ...


@dataclass(frozen=True)
class LabelledImages:
    """One split's images, their keys and labels, in an order that follows from the files' names alone."""

    keys: Sequence[str]
    labels: Sequence[str]
    """The class's name of each image."""
    files: Files
    """``files[i]`` reads image i; raises `HeedError` where it cannot."""

    def __len__(self) -> int:
        return len(self.keys)

    def classes(self) -> tuple[str, ...]:
        """All labels, each once, sorted: a class's number is its place, as torchvision and timm count."""
        return tuple(sorted(set(self.labels)))


def read_labelled_images(path: str | Path, split: str, holdout: float = 0.2) -> LabelledImages:
    """Find a split's images ("train", "val" or "test"); the list above says how each layout is read.

    ``holdout`` is the share kept from training, half for validation and half for testing, where the files have no
    splits. Raises `HeedError` where there is nothing of that split.
    """
    if split not in SPLITS:
        raise HeedError(f"There is no split {split!r}; a dataset has train, val and test.")
    if not 0 <= holdout < 1:
        raise HeedError(f"A holdout of {holdout} makes no sense: it is the fraction of images kept from training.")
    text = str(path)
    if ".tar" in Path(text).name:
        found = _tars(text, split, holdout)
    elif not Path(text).is_dir():
        raise HeedError(f"There is no folder of images {text}.")
    elif (Path(text) / "scenes.json").exists():
        found = _scenes(Path(text), split)
    elif (Path(text) / IDENTITY_FILE).exists():
        found = _frames(Path(text), split, holdout)
    else:
        found = _folder(Path(text), split, holdout)
    if not len(found):
        raise HeedError(f"{text} has no images for the split {split}.")
    return found


@dataclass(frozen=True)
class _Items:
    items: Sequence[Item]

    def __getitem__(self, number: int) -> bytes:
        try:
            return read_bytes(self.items[number])
        except HeedError as error:
            raise HeedError(f"{self.items[number].key}: {error}") from None


def _folder(path: Path, split: str, holdout: float) -> LabelledImages:
    """ImageNet's layout, with or without folders for splits."""
    split_folders = any((path / name).is_dir() for name in ("train", "val", "validation"))
    if split_folders:
        names = {"val": ("val", "validation"), "test": ("test", "val", "validation")}.get(split, ("train",))
        root = next((path / name for name in names if (path / name).is_dir()), None)
        if root is None:
            raise HeedError(f"{path} has no folder for the split {split}.")
    else:
        root = path
    items = list(open_source(str(root)).items)
    loose = [item.key for item in items if "/" not in item.key]
    if loose:
        raise HeedError(f"{root / loose[0]} lies in no class's folder: images are labelled by the folder they lie in, "
                        f"{root}/CLASS/…")
    if not split_folders:
        items = [item for item in items if split_of(item.key, holdout) == split]
    return LabelledImages([item.key for item in items], [item.key.split("/")[0] for item in items], _Items(items))


def _scenes(path: Path, split: str) -> LabelledImages:
    labels = read_labels(path, split)
    items = [Item(label.key, str(path / "images" / label.key)) for label in labels]
    return LabelledImages([label.key for label in labels], [label.label for label in labels], _Items(items))


def _tars(pattern: str, split: str, holdout: float) -> LabelledImages:
    """WebDataset's tars: a picture and its class in each sample."""
    path = Path(pattern.replace("{split}", split))
    tars = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not tars or not tars[0].exists():
        raise HeedError(f"There are no tars {path}.")
    samples = TarSamples.scan(tars)
    chosen = list(range(len(samples)))
    if "{split}" not in pattern:
        chosen = [number for number in chosen if split_of(samples.keys[number], holdout) == split]
    labels = [_label(samples.keys[number], samples.parts_of(number, ("cls", "txt"))) for number in chosen]
    return LabelledImages([samples.keys[number] for number in chosen], labels, _TarPictures(samples, chosen))


def _label(key: str, parts: dict[str, bytes]) -> str:
    content = parts.get("cls", parts.get("txt"))
    if content is None:
        raise HeedError(f"The sample {key!r} has no part cls (or txt) that says its class.")
    label = content.decode("utf-8", "replace").strip()
    # Numbers sort as numbers: class 10 comes after class 9.
    return f"{int(label):05d}" if label.isdigit() else label


@dataclass(frozen=True)
class _TarPictures:
    samples: TarSamples
    chosen: Sequence[int]

    def __getitem__(self, number: int) -> bytes:
        place = self.chosen[number]
        parts = self.samples.parts_of(place, _PICTURES)
        if not parts:
            raise HeedError(f"The sample {self.samples.keys[place]!r} has no picture.")
        return next(iter(parts.values()))


def _frames(path: Path, split: str, holdout: float) -> LabelledImages:
    store = Store.open(path)
    if store.identity.kind != "frames":
        raise HeedError(f"{path} is a store of {store.identity.kind}; images are in one of frames "
                        "(heed extract frames).")
    rows = [(row, key) for row, key in enumerate(store.keys()) if split_of(key, holdout) == split]
    loose = [key for _, key in rows if "/" not in key]
    if loose:
        raise HeedError(f"The key {loose[0]!r} of {path} has no folder in it to take its class from.")
    return LabelledImages([key for _, key in rows], [key.split("/")[0] for _, key in rows],
                          _StoredPictures(store, [row for row, _ in rows]))


@dataclass(frozen=True)
class _StoredPictures:
    store: Store
    rows: Sequence[int]

    def __getitem__(self, number: int) -> bytes:
        frames = frames_from_row(self.store.row(self.rows[number]))
        if not len(frames):
            raise HeedError(f"{self.store.key(self.rows[number])} has no frames.")
        return frames.files[len(frames) // 2]
