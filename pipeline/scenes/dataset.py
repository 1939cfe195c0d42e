"""The scenes dataset on disk: pictures, and annotations in parts that commit them.

    OUT/scenes.json                 {"version": 1, "seed": 0, "images": N, "size": 160, and the vocabularies}
    OUT/images/000000.png …         an image's key is its path below images/
    OUT/annotations/000000.jsonl …  one line an image, 500 a file, named after its first image

A part of the annotations is written after its images, aside and renamed: a part that is there is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from features.errors import HeedError
from pipeline.atomic import atomic_write, write_json
from pipeline.scenes.draw import render
from pipeline.scenes.language import captions
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.world import COLOURS, SETTINGS, SIZES, TEXTURES, Scene, relations, scene

VERSION = 1
"""Of the layout and of the pictures: raised when either changes, for then a folder must not be continued."""
PART = 500
"""Images a file of annotations."""


def split_of(index: int) -> str:
    """The split of a scene: of ten, the last is for test, the one before for validation, the rest for training."""
    return {9: "test", 8: "val"}.get(index % 10, "train")


def annotate(of: Scene, size: int) -> dict[str, Any]:
    """Everything that is true of a scene drawn at ``size``, as JSON; boxes are xyxy in pixels."""
    key = f"{of.index:06d}.png"
    boxes = of.boxes(size).tolist()
    return {
        "key": key, "index": of.index, "split": split_of(of.index), "width": size, "height": size,
        "objects": [
            {"id": o.id, **o.attributes, "box": [round(edge, 2) for edge in box]}
            for o, box in zip(of.objects, boxes, strict=True)
        ],
        "captions": [
            {"id": f"{of.index:06d}-{i}", "text": caption.text,
             "phrases": [{"start": p.start, "end": p.end, "objects": list(p.objects)} for p in caption.phrases]}
            for i, caption in enumerate(captions(of))
        ],
        "relations": [{"subject": a, "predicate": name, "object": b} for a, name, b in relations(of)],
        "label": of.label,
    }


def write_scenes(
    out: str | Path, images: int, seed: int = 0, size: int = 160, progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the first ``images`` scenes of a seed to ``out``, or what of them is not there yet.

    ``progress`` is called with (images done, images in all) after each image and each part found. A folder that holds
    other scenes raises `HeedError`; one with fewer scenes grows.
    """
    out = Path(out)
    _claim(out, images, seed, size)
    (out / "images").mkdir(exist_ok=True)
    (out / "annotations").mkdir(exist_ok=True)
    for first in range(0, images, PART):
        indices = range(first, min(first + PART, images))
        part = out / "annotations" / f"{first:06d}.jsonl"
        if part.exists() and len(part.read_bytes().splitlines()) >= len(indices):
            if progress:
                progress(indices.stop, images)
            continue
        lines = []
        for index in indices:
            of = scene(seed, index)
            Image.fromarray(render(of, size)).save(out / "images" / f"{index:06d}.png", compress_level=2)
            lines.append(json.dumps(annotate(of, size)) + "\n")
            if progress:
                progress(index + 1, images)
        with atomic_write(part) as file:
            file.write("".join(lines).encode())


def _claim(out: Path, images: int, seed: int, size: int) -> None:
    """Make the folder this dataset's, or raise `HeedError` if it is another's."""
    if images < 1:
        raise HeedError(f"{images} scenes cannot be rendered; ask for at least one.")
    identity = {"version": VERSION, "seed": seed, "images": images, "size": size}
    header = out / "scenes.json"
    if header.exists():
        held = json.loads(header.read_text())
        for name in ("version", "seed", "size"):
            if held.get(name) != identity[name]:
                raise HeedError(f"{out} holds scenes of {name} {held.get(name)}, not {identity[name]}: "
                                f"choose another folder or ask for {name} {held.get(name)}.")
        if held["images"] > images:
            raise HeedError(f"{out} holds {held['images']} scenes already: ask for as many or choose another folder.")
        if held["images"] == images:
            return
    elif out.exists() and any(out.iterdir()) and not (out / "videos.json").exists():
        raise HeedError(f"{out} is not empty and holds no scenes: choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    vocabularies = {"shapes": SHAPES, "colours": COLOURS, "sizes": SIZES, "textures": TEXTURES, "labels": SETTINGS}
    write_json(header, identity | vocabularies)
