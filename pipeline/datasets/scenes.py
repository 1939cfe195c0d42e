"""Read a scenes folder (`pipeline.scenes.dataset`): captions for matching, objects for detection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Phrase
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.world import COLOURS, SIZES, TEXTURES


@dataclass(frozen=True)
class ImageObjects:
    """All objects of one image; ids index `SHAPES`, `COLOURS`, `SIZES` and `TEXTURES`."""

    key: str
    width: int
    height: int
    boxes: np.ndarray
    """(n, 4) float32 xyxy pixels."""
    shapes: np.ndarray
    """(n,) int64."""
    colours: np.ndarray
    """(n,) int64."""
    sizes: np.ndarray
    """(n,) int64."""
    textures: np.ndarray
    """(n,) int64."""


def recognises(path: Path) -> bool:
    """Whether this is a scenes folder, or its scenes.json."""
    return (_folder(path) / "scenes.json").is_file()


def read(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """Captions with their phrases' boxes, five an image, in the order of the images.

    A phrase's ``kind`` is the shape of its objects, or "objects" where they differ. Scenes have splits of their own
    (test and val a tenth each), so ``holdout`` is not used. Raises `HeedError` for a folder that is not whole.
    """
    found = []
    for row in rows(path, split):
        boxes = {o["id"]: o["box"] for o in row["objects"]}
        shapes = {o["id"]: o["shape"] for o in row["objects"]}
        for caption in row["captions"]:
            phrases = []
            for phrase in caption["phrases"]:
                kinds = {shapes[i] for i in phrase["objects"]}
                where = np.array([boxes[i] for i in phrase["objects"]], np.float32)
                kind = kinds.pop() if len(kinds) == 1 else "objects"
                phrases.append(Phrase(phrase["start"], phrase["end"], where, kind))
            found.append(Caption(caption["id"], row["key"], caption["text"], tuple(phrases)))
    return found


def read_objects(path: str | Path, split: str | None = None) -> list[ImageObjects]:
    """Every image's objects, in the order of the images: ground truth for detection."""

    def ids(row: dict[str, Any], kind: str, names: tuple[str, ...]) -> np.ndarray:
        return np.array([names.index(o[kind]) for o in row["objects"]], np.int64)

    return [
        ImageObjects(
            row["key"], row["width"], row["height"], np.array([o["box"] for o in row["objects"]], np.float32),
            ids(row, "shape", SHAPES), ids(row, "colour", COLOURS), ids(row, "size", SIZES),
            ids(row, "texture", TEXTURES),
        )
        for row in rows(path, split)
    ]


def rows(path: str | Path, split: str | None = None) -> Iterator[dict[str, Any]]:
    """The annotations as written, image by image. Raises `HeedError` for a folder that is missing or not whole."""
    folder = _folder(Path(path))
    try:
        images = int(json.loads((folder / "scenes.json").read_text(encoding="utf-8"))["images"])
    except FileNotFoundError:
        raise HeedError(f"{folder} holds no scenes.json: render scenes there with `heed scenes {folder}`.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{folder / 'scenes.json'} is damaged ({error}): render the scenes again.") from None
    seen = 0
    for part in sorted((folder / "annotations").glob("*.jsonl")):
        for line in part.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise HeedError(f"{part} is damaged ({error}): delete it and render the scenes again.") from None
            seen += 1
            if split is None or row["split"] == split:
                yield row
    if seen != images:
        raise HeedError(f"{folder} holds {seen} of its {images} scenes: run `heed scenes` again to finish them.")


def _folder(path: Path) -> Path:
    return path.parent if path.name == "scenes.json" else path
