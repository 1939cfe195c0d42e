"""SCAN's own folder of captions and features, `f30k_precomp` or `coco_precomp` (also VSE++'s and its successors').

    {train,dev,test}_caps.txt    a caption a line, five lines an image one after the other, images as in the features
    {train,dev,test}_ims.npy     the features (`pipeline.exchange.scan_npy`)
    {train,dev,test}_ids.txt     the images' ids, where somebody has kept them

Source: kuanghuei/SCAN, data.py. Keys are those of `heed import scan-npy FOLDER STORE`: SPLIT/ID, or SPLIT/NUMBER from 0
where there are no ids. "dev" is val. The published loader reads no more than 5,000 captions of dev; here all are read.
"""

from __future__ import annotations

from pathlib import Path

from features.errors import HeedError
from pipeline.annotations import Caption

ENDING = "_caps.txt"
SPLITS = {"train": ("train",), "val": ("dev", "val"), "test": ("test", "testall")}
"""Split -> what its files may begin with, the first that is there; COCO's testall holds test's images and more."""


def recognises(path: Path) -> bool:
    """Whether this is a folder with captions of SCAN's."""
    return path.is_dir() and any(_file(path, split) for split in SPLITS)


def read(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """The captions of a split, or of all three; the folder has its own splits, so ``holdout`` means nothing here.

    Raises `HeedError` where a split is not there, or does not go with the features beside it.
    """
    from pipeline.exchange.scan_npy import SUFFIX, caption_keys

    folder = Path(path)
    captions = []
    for name in SPLITS if split is None else (split,):
        file = _file(folder, name)
        if file is None:
            if split is None:
                continue
            raise HeedError(f"{folder} has no captions of split {split}: no {SPLITS[split][0]}{ENDING}.")
        try:
            lines = file.read_bytes().decode("utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise HeedError(f"{file} cannot be read as captions: {error}.") from None
        if lines and not lines[-1]:
            lines.pop()
        begins = file.name.removesuffix(ENDING)
        keys = caption_keys(folder / f"{begins}{SUFFIX}", len(lines))
        captions += [Caption(f"{begins}/{number}", f"{begins}/{key}", line.strip())
                     for number, (key, line) in enumerate(zip(keys, lines, strict=True))]
    return captions


def _file(folder: Path, split: str) -> Path | None:
    return next((file for begins in SPLITS[split] if (file := folder / f"{begins}{ENDING}").is_file()), None)
