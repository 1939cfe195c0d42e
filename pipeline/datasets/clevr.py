"""CLEVR's questions and scenes (Johnson et al. 2017, arXiv 1612.06890, sections 3 and 4; files of CLEVR v1.0).

    CLEVR_v1.0/questions/CLEVR_{train,val,test}_questions.json
        {"questions": [{"image_index", "image_filename", "question", "answer", "program": [{"function" or "type",
          "inputs", "value_inputs"}], "question_index"}]}; neither answer nor program in test
    CLEVR_v1.0/scenes/CLEVR_{train,val}_scenes.json
        {"scenes": [{"image_filename", "objects": [{"shape", "color", "size", "material", "pixel_coords", "3d_coords",
          "rotation"}], "relationships": {"left": [[…], …], …}}]}

CLEVR has no boxes. Where there are scenes, the objects a program looks at get one each from their place and size
(`object_boxes`), an estimate; MAC's layout without scenes (all files in one folder) is read as well.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Question

WIDTH, HEIGHT = 480, 320
"""Of every CLEVR image, pixels."""
_FOCAL = 35 / 32 * WIDTH
"""Pixels: a camera of 35 mm over a sensor of 32 mm (clevr-dataset-gen, base_scene.blend)."""
_RADIUS = {"large": 0.7, "small": 0.35}
"""Half an object's extent, in the units of 3d_coords (clevr-dataset-gen, properties.json)."""
_CUBE = 4 / math.pi / math.sqrt(2)
"""A cube's half side is the radius / sqrt(2) (render_images.py); turned about, it is 4 / pi of that wide on average."""
_KINDS = {
    "count": "count", "exist": "exist", "equal_integer": "compare numbers", "less_than": "compare numbers",
    "greater_than": "compare numbers", **{f"query_{name}": "query attribute" for name in (
        "color", "shape", "size", "material")},
    **{f"equal_{name}": "compare attribute" for name in ("color", "shape", "size", "material")},
}
"""Last function of a program -> the kind of question, as the paper's table 1 names them."""
_SPLITS = ("train", "val", "test")


def recognises(path: Path) -> bool:
    """Whether this is a CLEVR folder, the folder of its questions, or one of their files."""
    return any(_file(path, split, "questions") is not None for split in _SPLITS)


def read(path: str | Path, split: str | None = None) -> list[Question]:
    """Questions in the order of the files; a key is the image's file name, an id "SPLIT-NUMBER".

    ``kind`` is that of the last step of the program: count, exist, compare numbers, query attribute, compare attribute.
    ``boxes`` are of the objects that the program singles out or counts, where the scenes are at hand. Raises
    `HeedError` where a file is missing or is not CLEVR's.
    """
    path, found = Path(path), []
    for one in _SPLITS if split is None else (split,):
        file = _file(path, one, "questions")
        if file is None:
            if split is not None:
                raise HeedError(f"{path} holds no questions of the split {one}: CLEVR_{one}_questions.json is missing.")
            continue
        scenes = _scenes(path, one)
        rows = _rows(file, "questions")
        try:
            found += [_question(row, one, number, scenes) for number, row in enumerate(rows)]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise HeedError(f"{file} is JSON but not CLEVR's questions ({error!r}).") from None
    return found


def _question(row: dict[str, Any], split: str, number: int, scenes: dict[str, dict[str, Any]]) -> Question:
    key = str(row.get("image_filename") or f"CLEVR_{split}_{int(row['image_index']):06d}.png")
    program = tuple((str(step.get("function") or step["type"]), tuple(int(i) for i in step["inputs"]),
                     ",".join(map(str, step.get("value_inputs", ())))) for step in row.get("program", ()))
    boxes = np.zeros((0, 4), np.float32)
    if program and key in scenes:
        boxes = object_boxes(scenes[key])[sorted(looked_at(program, scenes[key]))]
    answers = (str(row["answer"]),) if "answer" in row else ()
    return Question(f"{split}-{row.get('question_index', number)}", key, str(row["question"]), answers,
                    _KINDS.get(program[-1][0], "") if program else "", boxes, (), program)


def object_boxes(scene: dict[str, Any]) -> np.ndarray:
    """Boxes (objects, 4) float32 xyxy pixels of a scene's objects, estimated: the pinhole image of a ball for each.

    The centre is pixel_coords', half the side f r / depth, where f is the camera's focal length in pixels, r the
    object's radius and depth the third of pixel_coords.
    """
    boxes = np.zeros((len(scene["objects"]), 4), np.float32)
    for box, one in zip(boxes, scene["objects"], strict=True):
        x, y, depth = (float(v) for v in one["pixel_coords"])
        half = _FOCAL * _RADIUS[one["size"]] * (_CUBE if one["shape"] == "cube" else 1) / depth
        box[:] = max(0.0, x - half), max(0.0, y - half), min(WIDTH, x + half), min(HEIGHT, y + half)
    return boxes


def looked_at(program: tuple[tuple[str, tuple[int, ...], str], ...], scene: dict[str, Any]) -> set[int]:
    """The objects that a program singles out (unique) or asks about at its end (exist, count and comparisons)."""
    everything = set(range(len(scene["objects"])))
    results: list[Any] = []
    found: set[int] = set()
    for function, inputs, value in program:
        given = [results[i] for i in inputs]
        sets = [one for one in given if isinstance(one, set)]
        if function == "scene":
            results.append(everything)
        elif function == "unique":
            found |= sets[0]
            results.append(sets[0])
        elif function.startswith("filter_"):
            kind = function.removeprefix("filter_")
            results.append({i for i in sets[0] if scene["objects"][i][kind] == value})
        elif function.startswith("same_"):
            kind, (one,) = function.removeprefix("same_"), tuple(sets[0])
            results.append({i for i in everything - {one}
                            if scene["objects"][i][kind] == scene["objects"][one][kind]})
        elif function == "relate":
            results.append(set(scene["relationships"][value][next(iter(sets[0]))]))
        elif function == "intersect":
            results.append(sets[0] & sets[1])
        elif function == "union":
            results.append(sets[0] | sets[1])
        elif function in ("count", "exist"):
            found |= sets[0]
            results.append(None)
        else:  # queries and comparisons, whose objects have been singled out or counted before
            results.append(None)
    return found


def _file(path: Path, split: str, part: str) -> Path | None:
    """CLEVR_{split}_{part}.json in the folder, its folder ``part``, or beside the file that was named."""
    name = f"CLEVR_{split}_{part}.json"
    if path.is_file():
        if part == "questions":
            return path if path.name == name else None
        places = [path.parent / name, path.parent.parent / part / name]
    else:
        places = [path / name, path / part / name, path.parent / part / name]
    return next((place for place in places if place.is_file()), None)


def _scenes(path: Path, split: str) -> dict[str, dict[str, Any]]:
    """Scenes by image; empty where there is no file."""
    file = _file(path, split, "scenes")
    if file is None:
        return {}
    stat = file.stat()
    return _loaded_scenes(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _loaded_scenes(file: Path, *_: int) -> dict[str, dict[str, Any]]:
    try:
        return {str(scene["image_filename"]): scene for scene in _rows(file, "scenes")}
    except (KeyError, TypeError) as error:
        raise HeedError(f"{file} is JSON but not CLEVR's scenes ({error!r}).") from None


def _rows(file: Path, part: str) -> list[Any]:
    try:
        content = json.loads(file.read_bytes())
        rows = content[part]
    except (OSError, ValueError) as error:
        raise HeedError(f"{file} cannot be read as CLEVR's {part}: {error}.") from None
    except (KeyError, TypeError):
        raise HeedError(f"{file} is JSON but holds no list of {part}, as CLEVR's does.") from None
    if not isinstance(rows, list):
        raise HeedError(f"{file} is JSON but holds no list of {part}, as CLEVR's does.")
    return rows
