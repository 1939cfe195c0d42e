"""Read Visual Genome (Krishna et al. 2017): scene graphs or relationships, objects, and region descriptions.

    scene_graphs.json          [{"image_id": 1, "objects": [{"object_id", "x", "y", "w", "h", "names"}, …],
                                 "relationships": [{"predicate", "subject_id", "object_id"}, …]}, …]
    relationships.json         the same relations, subject and object each an object of its own
    objects.json               all objects of each image, also those in no relation
    region_descriptions.json   [{"id": 1, "regions": [{"region_id", "phrase", "x", "y", "width", "height"}, …]}, …]

An image's key is its number with .jpg. The graphs are taken where both are there. Predicates and names are stripped and
in lower case, nothing else is changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Phrase, Relations
from pipeline.datasets.coco_captions import split_of

GRAPHS, RELATIONSHIPS, OBJECTS = "scene_graphs.json", "relationships.json", "objects.json"
DESCRIPTIONS = "region_descriptions.json"


def recognises(path: Path) -> bool:
    """Whether this is a folder with one of the files."""
    return any((path / name).is_file() for name in (GRAPHS, RELATIONSHIPS, DESCRIPTIONS))


def read(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """The region descriptions as captions, each one phrase that names its box, in the order of the file.

    Images are split by `pipeline.datasets.coco_captions.split_of`. Raises `HeedError` for a file that is missing or
    damaged.
    """
    file = Path(path) / DESCRIPTIONS
    found = []
    try:
        for image in _load(file):
            key = f"{image['id']}.jpg"
            if split is not None and split_of(key, holdout) != split:
                continue
            for region in image["regions"]:
                text = region["phrase"].strip()
                box = _box(region, "width", "height")
                found.append(Caption(str(region["region_id"]), key, text,
                                     (Phrase(0, len(text), box, "", str(region["region_id"])),) if text else ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HeedError(f"{file} is JSON but not Visual Genome's region descriptions: {error!r}.") from None
    return found


def read_relations(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Relations]:
    """Every image's objects and the relations between them, in the order of the file.

    Objects that are described twice under one number are one. Raises `HeedError` for a file that is missing or damaged.
    """
    folder = Path(path)
    file = folder / GRAPHS if (folder / GRAPHS).is_file() else folder / RELATIONSHIPS
    more: dict[Any, list[Any]] = {}
    if file.name == RELATIONSHIPS and (folder / OBJECTS).is_file():
        more = {image["image_id"]: image["objects"] for image in _load(folder / OBJECTS)}
    found = []
    try:
        for image in _load(file):
            key = f"{image['image_id']}.jpg"
            if split is None or split_of(key, holdout) == split:
                found.append(_image(key, [*image.get("objects", ()), *more.get(image["image_id"], ())],
                                    image["relationships"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HeedError(f"{file} is JSON but not Visual Genome's: {error!r}.") from None
    return found


def _image(key: str, objects: list[dict[str, Any]], relationships: list[dict[str, Any]]) -> Relations:
    places: dict[Any, int] = {}
    boxes: list[np.ndarray] = []
    names: list[str] = []

    def place(thing: dict[str, Any]) -> int:
        number = thing["object_id"]
        if number not in places:
            places[number] = len(boxes)
            boxes.append(_box(thing, "w", "h"))
            named = thing.get("names") or [thing.get("name", "")]
            names.append(str(named[0]).strip().lower())
        return places[number]

    for thing in objects:
        place(thing)
    triples = []
    for relation in relationships:
        ends = []
        for end in ("subject", "object"):
            if isinstance(relation.get(end), dict):
                ends.append(place(relation[end]))
            else:
                ends.append(places[relation[f"{end}_id"]])
        triples.append((ends[0], str(relation["predicate"]).strip().lower(), ends[1]))
    stacked = np.concatenate(boxes) if boxes else np.zeros((0, 4), np.float32)
    return Relations(key, stacked, tuple(names), tuple(triples))


def _box(thing: dict[str, Any], width: str, height: str) -> np.ndarray:
    x, y = float(thing["x"]), float(thing["y"])
    return np.array([[x, y, x + float(thing[width]), y + float(thing[height])]], np.float32)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise HeedError(f"{path} is not JSON: {error}.") from None
