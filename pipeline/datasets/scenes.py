"""Read the pictures of a scenes folder (`pipeline.scenes.dataset`): captions, objects, questions, relations, labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Label, OcrToken, Phrase, Question, Relations, TextQuestion
from pipeline.scenes.questions import TEN_ANSWERS
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

    A phrase's ``kind`` is the shape of its objects, or "objects" where they differ; its ``chain`` their ids, so that
    phrases of one image that name the same have one chain. Scenes have splits of their own (test and val a tenth
    each), so ``holdout`` is not used. Raises `HeedError` for a folder that is not whole.
    """
    return [
        Caption(caption["id"], row["key"], caption["text"], _phrases(row["objects"], caption["phrases"]))
        for row in rows(path, split) for caption in row["captions"]
    ]


def _phrases(objects: list[dict[str, Any]], phrases: list[dict[str, Any]]) -> tuple[Phrase, ...]:
    """The phrases that name any object; an object's id is its place."""
    found = []
    for phrase in phrases:
        named = [objects[i] for i in phrase["objects"]]
        if named:
            kinds = {o["shape"] for o in named}
            chain = "+".join(str(o["id"]) for o in named)
            found.append(Phrase(phrase["start"], phrase["end"], _boxes(named),
                                kinds.pop() if len(kinds) == 1 else "objects", chain))
    return tuple(found)


def _boxes(objects: list[dict[str, Any]]) -> np.ndarray:
    """(objects, 4) float32."""
    return np.array([o["box"] for o in objects], np.float32).reshape(-1, 4)


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


def read_questions(
    path: str | Path, split: str | None = None, ten_answers: bool = False,
) -> list[Question]:
    """Questions with one certain answer each, about ten an image, in the order of the images.

    ``ten_answers`` keeps those that are answered by yes, no or one of the eight colours: nearly six of ten, about seven
    an image; always saying no would be right for 37 % of them. Raises `HeedError` for a folder that is not whole.
    """
    return [
        Question(
            asked["id"], row["key"], asked["text"], (asked["answer"],), asked["kind"],
            _boxes([row["objects"][i] for i in asked["objects"]]), _phrases(row["objects"], asked["phrases"]),
            tuple((function, tuple(inputs), value) for function, inputs, value in asked["program"]),
        )
        for row, about in _with_questions(path, split) for asked in about["questions"]
        if not ten_answers or asked["answer"] in TEN_ANSWERS
    ]


def read_text_questions(path: str | Path, split: str | None = None) -> list[TextQuestion]:
    """Questions about signs, with the words on them, in the order of the images.

    An answer is given ten times, as TextVQA has the answers of ten people. Raises `HeedError` for a folder that is
    not whole, or of another flavour than "signs".
    """
    found = []
    for row, about in _with_questions(path, split):
        if "text_questions" not in about:
            raise HeedError(f"{path} has no text questions, for its pictures have no signs: "
                            "render them with `heed scenes OUT --flavour signs`.")
        tokens = tuple(OcrToken(t["text"], np.array(t["box"], np.float32)) for t in row["ocr"])
        for asked in about["text_questions"]:
            seen = [row["signs"][i] for i in asked["signs"]] + [row["objects"][i] for i in asked["objects"]]
            found.append(TextQuestion(asked["id"], row["key"], asked["text"], (asked["answer"],) * 10, tokens,
                                      asked["kind"], _boxes(seen)))
    return found


def read_relations(path: str | Path, split: str | None = None) -> list[Relations]:
    """Every image's boxes and clear relations, in the order of the images; a box's name is its object's shape."""
    return [
        Relations(row["key"], _boxes(row["objects"]), tuple(o["shape"] for o in row["objects"]),
                  tuple((r["subject"], r["predicate"], r["object"]) for r in row["relations"]))
        for row in rows(path, split)
    ]


def read_labels(path: str | Path, split: str | None = None) -> list[Label]:
    """Every image's setting, in the order of the images."""
    return [Label(row["key"], row["label"]) for row in rows(path, split)]


def _with_questions(path: str | Path, split: str | None) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each image's annotations and its questions."""
    return zip(rows(path, split), rows(path, split, "questions"), strict=True)


def rows(path: str | Path, split: str | None = None, part: str = "annotations") -> Iterator[dict[str, Any]]:
    """The annotations as written, image by image; with ``part`` "questions" those.

    Raises `HeedError` for a folder that is missing or not whole.
    """
    folder = _folder(Path(path))
    try:
        images = int(json.loads((folder / "scenes.json").read_text(encoding="utf-8"))["images"])
    except FileNotFoundError:
        raise HeedError(f"{folder} holds no scenes.json: render scenes there with `heed scenes {folder}`.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{folder / 'scenes.json'} is damaged ({error}): render the scenes again.") from None
    seen = 0
    for file in sorted((folder / part).glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise HeedError(f"{file} is damaged ({error}): delete it and render the scenes again.") from None
            seen += 1
            if split is None or row["split"] == split:
                yield row
    if seen != images:
        kind = "scenes" if part == "annotations" else f"scenes' {part}"
        raise HeedError(f"{folder} holds {seen} of its {images} {kind}: run `heed scenes` again to finish them.")


def _folder(path: Path) -> Path:
    return path.parent if path.name == "scenes.json" else path
