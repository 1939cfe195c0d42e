"""The scenes dataset on disk: pictures, and annotations in parts that commit them.

    OUT/scenes.json                 {"version": 1, "seed": 0, "images": N, "size": 160, and the vocabularies}
    OUT/images/000000.png …         an image's key is its path below images/
    OUT/annotations/000000.jsonl …  one line an image, 500 a file, named after its first image
    OUT/questions/000000.jsonl …    the same for the questions about it

A part of the annotations is written after its images, aside and renamed: a part that is there is whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from features.errors import HeedError
from pipeline.atomic import atomic_write, write_json
from pipeline.scenes.draw import line_centres, render
from pipeline.scenes.flavours import FLAVOURS
from pipeline.scenes.language import captions
from pipeline.scenes.lettering import line_box
from pipeline.scenes.questions import questions
from pipeline.scenes.rendering import in_order
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.text_questions import text_questions
from pipeline.scenes.world import COLOURS, SETTINGS, SIZES, TEXTURES, Scene, relations

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
        **(_signs(of, size) if of.signs else {}),
    }


def _signs(of: Scene, size: int) -> dict[str, Any]:
    """The signs, and what a perfect reader would find: a token a line."""
    def pixels(box: tuple[float, ...]) -> list[float]:
        return [round(edge * size, 2) for edge in box]

    return {
        "signs": [{"id": s.id, "lines": list(s.lines), "colour": s.colour, "box": pixels(s.box)} for s in of.signs],
        "ocr": [
            {"text": line, "sign": s.id, "box": pixels(line_box(line, x, y, s.letters, size))}
            for s in of.signs for line, (x, y) in zip(s.lines, line_centres(s), strict=True)
        ],
    }


def annotate_questions(of: Scene) -> dict[str, Any]:
    """The questions about a scene, as JSON; about its signs too where it has any."""
    number = f"{of.index:06d}"
    row: dict[str, Any] = {
        "key": f"{number}.png", "index": of.index, "split": split_of(of.index),
        "questions": [
            {"id": f"{number}-{i}", "kind": q.kind, "text": q.text, "answer": q.answer, "objects": list(q.objects),
             "phrases": [{"start": p.start, "end": p.end, "objects": list(p.objects)} for p in q.phrases],
             "program": [[step.function, list(step.inputs), step.value] for step in q.program]}
            for i, q in enumerate(questions(of))
        ],
    }
    if of.signs:
        row["text_questions"] = [
            {"id": f"{number}-t{i}", "kind": q.kind, "text": q.text, "answer": q.answer, "copied": q.copied,
             "signs": list(q.signs), "objects": list(q.objects),
             "phrases": [{"start": p.start, "end": p.end, "objects": list(p.objects)} for p in q.phrases]}
            for i, q in enumerate(text_questions(of))
        ]
    return row


def write_scenes(
    out: str | Path, images: int, seed: int = 0, size: int = 160, progress: Callable[[int, int], None] | None = None,
    flavour: str = "objects", workers: int = 1,
) -> None:
    """Write the first ``images`` scenes of a seed to ``out``, or what of them is not there yet.

    ``progress`` is called with (images done, images in all) after each image and each part found. ``flavour`` is one of
    `FLAVOURS`; ``workers`` processes render. A folder that holds other scenes raises `HeedError`; one with fewer
    scenes grows.
    """
    out = Path(out)
    if flavour not in FLAVOURS:
        raise HeedError(f"There are no scenes of the flavour {flavour!r}; there are {', '.join(FLAVOURS)}.")
    _claim(out, images, seed, size, flavour)
    for folder in ("images", "annotations", "questions"):
        (out / folder).mkdir(exist_ok=True)
    parts = [range(first, min(first + PART, images)) for first in range(0, images, PART)]
    missing = [index for part in parts if not _whole(_part(out, "annotations", part), len(part)) for index in part]
    made = in_order(partial(_make, seed, size, flavour), missing, workers)
    for part in parts:
        if _whole(_part(out, "annotations", part), len(part)):
            if not _whole(_part(out, "questions", part), len(part)):
                _write_lines(_part(out, "questions", part), [_asked(seed, flavour, index) for index in part])
            if progress:
                progress(part.stop, images)
            continue
        lines, asked = [], []
        for index in part:
            picture, line, question = next(made)
            (out / "images" / f"{index:06d}.png").write_bytes(picture)
            lines.append(line)
            asked.append(question)
            if progress:
                progress(index + 1, images)
        _write_lines(_part(out, "questions", part), asked)
        _write_lines(_part(out, "annotations", part), lines)


def _make(seed: int, size: int, flavour: str, index: int) -> tuple[bytes, str, str]:
    """A scene's PNG file, its line of annotations and its line of questions."""
    of = FLAVOURS[flavour](seed, index)
    file = io.BytesIO()
    Image.fromarray(render(of, size)).save(file, "PNG", compress_level=2)
    return file.getvalue(), json.dumps(annotate(of, size)), _asked(seed, flavour, index)


def _asked(seed: int, flavour: str, index: int) -> str:
    return json.dumps(annotate_questions(FLAVOURS[flavour](seed, index)), separators=(",", ":"))


def _part(out: Path, kind: str, indices: range) -> Path:
    return out / kind / f"{indices.start:06d}.jsonl"


def _whole(part: Path, lines: int) -> bool:
    return part.exists() and len(part.read_bytes().splitlines()) >= lines


def _write_lines(part: Path, lines: list[str]) -> None:
    with atomic_write(part) as file:
        file.write("".join(line + "\n" for line in lines).encode())


def _claim(out: Path, images: int, seed: int, size: int, flavour: str) -> None:
    """Make the folder this dataset's, or raise `HeedError` if it is another's."""
    if images < 1:
        raise HeedError(f"{images} scenes cannot be rendered; ask for at least one.")
    identity: dict[str, Any] = {"version": VERSION, "seed": seed, "images": images, "size": size}
    if flavour != "objects":
        identity["flavour"] = flavour
    header = out / "scenes.json"
    if header.exists():
        held = json.loads(header.read_text())
        held.setdefault("flavour", "objects")
        for name, value in (("version", VERSION), ("seed", seed), ("size", size), ("flavour", flavour)):
            if held.get(name) != value:
                raise HeedError(f"{out} holds scenes of {name} {held.get(name)}, not {value}: "
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
