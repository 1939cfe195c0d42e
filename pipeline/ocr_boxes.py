"""The boxes of the words in a dataset's images, as a source of given boxes (`pipeline.sources`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from features.errors import HeedError
from pipeline.annotations import TextQuestion
from pipeline.atomic import atomic_write

SUFFIXES = (".jpg", ".png", ".jpeg", ".webp")


def write_ocr_boxes(questions: Sequence[TextQuestion], images: Path, out: Path) -> tuple[int, int]:
    """Write {"key", "path", "boxes"} of each image once, as JSON lines; give how many images and words there are.

    Boxes are xyxy pixels in the words' order. An image's file is its key below ``images``, with or without a suffix.
    Raises `HeedError` where an image is not there, or a dataset does not say where its words are.
    """
    of_image = {asked.key: asked.tokens for asked in questions}
    with atomic_write(out) as file:
        for key, tokens in of_image.items():
            boxes = [token.box.tolist() for token in tokens]
            if any(x2 <= x1 for x1, _, x2, _ in boxes):
                raise HeedError(f"The words of {key!r} have no boxes here: sam-textvqa keeps them in its OCR LMDB, "
                                "which heed import vilbert-lmdb reads, features and all.")
            line = {"key": key, "path": str(_file(images, key).resolve()), "boxes": boxes}
            file.write((json.dumps(line) + "\n").encode())
    return len(of_image), sum(map(len, of_image.values()))


def _file(images: Path, key: str) -> Path:
    for name in (key, *(key + suffix for suffix in SUFFIXES)):
        if (images / name).is_file():
            return images / name
    raise HeedError(f"{images} has no image {key!r}, nor one with {', '.join(SUFFIXES)} behind it.")
