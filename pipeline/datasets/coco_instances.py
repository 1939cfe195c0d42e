"""Read COCO's instances (Lin et al. 2014): the boxes of an image with their categories, and where captions name them.

    {"images": [{"id", "file_name"}, …], "categories": [{"id", "name"}, …],
     "annotations": [{"image_id", "category_id", "bbox": [x, y, width, height], "iscrowd"}, …]}

COCO links no words to boxes. `named` links a caption's word or words to all boxes of a category where they are its
name, in the singular or with an s; nothing else is understood (a "man" is not linked to a person).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Phrase, Relations
from pipeline.datasets.coco_captions import load_json, split_of


def recognises(path: Path) -> bool:
    """Whether this is a .json file whose name speaks of instances."""
    return path.is_file() and "instances" in path.name and path.name.endswith((".json", ".json.gz"))


def read_relations(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Relations]:
    """Every image's boxes and categories, without relations, in the order of the file; crowds are left out.

    Keys and splits are those of `pipeline.datasets.coco_captions`. Raises `HeedError` for a file that is not COCO's.
    """
    content = load_json(Path(path))
    try:
        names = {category["id"]: category["name"] for category in content["categories"]}
        boxes: dict[str, list[list[float]]] = {}
        kinds: dict[str, list[str]] = {}
        keys = {image["id"]: PurePosixPath(image["file_name"]).name for image in content["images"]}
        for key in keys.values():
            boxes[key], kinds[key] = [], []
        for note in content["annotations"]:
            if not note.get("iscrowd", 0):
                x, y, width, height = note["bbox"]
                boxes[keys[note["image_id"]]].append([x, y, x + width, y + height])
                kinds[keys[note["image_id"]]].append(names[note["category_id"]])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HeedError(f"{path} is JSON but not COCO's instances: {type(error).__name__} {error}.") from None
    return [Relations(key, np.array(boxes[key], np.float32).reshape(-1, 4), tuple(kinds[key]), ())
            for key in boxes if split is None or split_of(key, holdout) == split]


def named(captions: Sequence[Caption], objects: Sequence[Relations]) -> list[Caption]:
    """The captions with a phrase wherever one has the name of a category that its image has boxes of.

    A phrase's ``kind`` and ``chain`` are the category. Longer names go first ("dining table" before "table").
    """
    by_key = {image.key: image for image in objects}
    return [replace(caption, phrases=_phrases(caption.text, by_key[caption.key])) if caption.key in by_key else caption
            for caption in captions]


def _phrases(text: str, image: Relations) -> tuple[Phrase, ...]:
    found: list[Phrase] = []
    for name in sorted(set(image.names), key=lambda name: (-len(name), name)):
        boxes = image.boxes[[other == name for other in image.names]]
        for match in re.finditer(rf"\b{re.escape(name)}s?\b", text, re.IGNORECASE):
            if all(match.end() <= other.start or match.start() >= other.end for other in found):
                found.append(Phrase(match.start(), match.end(), boxes, name, name))
    return tuple(sorted(found, key=lambda phrase: phrase.start))
