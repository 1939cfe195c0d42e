"""Read the videos of a scenes folder (`pipeline.scenes.video.dataset`): captions, running description, true boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Description


@dataclass(frozen=True)
class VideoEvent:
    """Something that happens in a scenes video."""

    kind: str
    """One of `pipeline.scenes.video.KINDS`."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""
    object: int | None
    """Place of the object among the video's; None for what is only heard."""
    other: int | None
    """The object bumped into."""
    detail: str
    """Where from or to, the new colour, the new size; empty where there is none."""


@dataclass(frozen=True)
class VideoObjects:
    """Everything that is to be seen, and everything that happens, in one scenes video."""

    key: str
    width: int
    height: int
    times: np.ndarray
    """(t,) float32 seconds."""
    boxes: np.ndarray
    """(objects, t, 4) float32 xyxy pixels at these times; NaN where an object is not to be seen."""
    shapes: tuple[str, ...]
    """Of each object."""
    events: tuple[VideoEvent, ...]
    sentences: dict[str, tuple[tuple[int, int, tuple[int, ...]], ...]]
    """Id of a moment, caption or description -> its phrases: first character, one past the last, objects named.

    Ids of moments are as `pipeline.datasets.scenes_moments` gives them, "qid8001"; those of captions begin with
    "caption ", those of descriptions with "description ", for the two count alike.
    """


def recognises(path: Path) -> bool:
    """Whether this is a scenes folder with videos, or its videos.json."""
    return (_folder(path) / "videos.json").is_file()


def read(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """Captions, five a video, in the order of the videos; without phrases, for their boxes move (see `read_objects`).

    Scenes have splits of their own (test and val a tenth each), so ``holdout`` is not used. Raises `HeedError` for a
    folder that is not whole.
    """
    return [Caption(f"caption {caption['id']}", row["key"], caption["text"])
            for row in rows(path, split) for caption in row["captions"]]


def read_descriptions(path: str | Path, split: str | None = None) -> list[Description]:
    """The running descriptions, in the order of the videos and of time."""
    return [Description(f"description {said['id']}", row["key"], said["text"], said["start"], said["end"])
            for row in rows(path, split) for said in row["descriptions"]]


def read_objects(path: str | Path, split: str | None = None) -> list[VideoObjects]:
    """The truth of every video, in order: where its objects are, what happens, and which words name whom."""
    return [_objects(row) for row in rows(path, split)]


def _objects(row: dict[str, Any]) -> VideoObjects:
    nowhere = [float("nan")] * 4
    boxes = np.array([[box or nowhere for box in track] for track in row["tracks"]], np.float32)
    sentences = {f"qid{row['index'] * 1000 + i}": _phrases(moment) for i, moment in enumerate(row["moments"])}
    sentences |= {f"caption {caption['id']}": _phrases(caption) for caption in row["captions"]}
    sentences |= {f"description {said['id']}": _phrases(said) for said in row["descriptions"]}
    return VideoObjects(
        row["key"], row["width"], row["height"],
        np.arange(boxes.shape[1], dtype=np.float32) / np.float32(row["track_fps"]), boxes,
        tuple(o["shape"] for o in row["objects"]),
        tuple(VideoEvent(e["kind"], e["start"], e["end"], e["object"], e["other"], e["detail"])
              for e in row["events"]),
        sentences,
    )


def _phrases(sentence: dict[str, Any]) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    return tuple((p["start"], p["end"], tuple(p["objects"])) for p in sentence["phrases"])


def rows(path: str | Path, split: str | None = None) -> Iterator[dict[str, Any]]:
    """The annotations as written, video by video. Raises `HeedError` for a folder that is missing or not whole."""
    folder = _folder(Path(path))
    try:
        videos = int(json.loads((folder / "videos.json").read_text(encoding="utf-8"))["videos"])
    except FileNotFoundError:
        raise HeedError(f"{folder} holds no videos.json: render videos there with "
                        f"`heed scenes {folder} --videos N`.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{folder / 'videos.json'} is damaged ({error}): render the videos again.") from None
    seen = 0
    for part in sorted((folder / "video_annotations").glob("*.jsonl")):
        for line in part.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise HeedError(f"{part} is damaged ({error}): delete it and render the videos again.") from None
            seen += 1
            if split is None or row["split"] == split:
                yield row
    if seen != videos:
        raise HeedError(f"{folder} holds {seen} of its {videos} videos: run `heed scenes` again to finish them.")


def _folder(path: Path) -> Path:
    return path.parent if path.name == "videos.json" else path
