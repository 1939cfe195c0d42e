"""What the page shows of runs that caption videos: some videos in pictures, what each run says, what people said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.report.photos import data_uri
from evaluation.run_folder import RunFolder
from features.errors import HeedError
from pipeline.sources import VIDEO_SUFFIXES

TASK = "captioning"
FRAMES, SIDE = 4, 200
"""Pictures of a video, and their longest side in pixels."""
REFERENCES = 5
"""Most captions of people shown."""


@dataclass(frozen=True)
class Captioned:
    """A run's captions and the truth."""

    place: int
    """The run's place on the page."""
    run: RunFolder
    said: dict[str, str]
    """Video -> caption."""
    true: dict[str, list[str]]
    """Video -> what people said."""


def captioned(place: int, run: RunFolder, split: str) -> Captioned | None:
    """Read a run's captions; None where it is of another task, or has none of that split, or no truth beside them."""
    predictions, truth = run.predictions.get(split), run.truth.get(split)
    if run.config.get("task") != TASK or predictions is None or truth is None:
        return None
    try:
        said = {str(row["image_id"]): str(row["caption"])
                for row in json.loads(predictions.read_text(encoding="utf-8"))}
        true: dict[str, list[str]] = {}
        for row in json.loads(truth.read_text(encoding="utf-8"))["annotations"]:
            true.setdefault(str(row["image_id"]), []).append(str(row["caption"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{predictions} and {truth} are not captions in COCO's formats ({error!r}).") from None
    return Captioned(place, run, said, true)


def samples(runs: Sequence[Captioned], images: Path | None, count: int) -> list[dict[str, Any]]:
    """``count`` videos that all of the runs have captioned, in the order of a hash of the key.

    Each with "key", "said" [(place of the run, caption)], "true" and "frames", data URIs of pictures evenly spread over
    the video, none where the video is not found: in ``images``, or where the runs' captions are.
    """
    if not runs:
        return []
    common = set.intersection(*(set(run.said) & set(run.true) for run in runs))
    chosen = sorted(common, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[:count]
    named = [run.run.setting("captions") for run in runs]
    folders = [images] if images else [Path(text) for text in named if isinstance(text, str)]
    return [{"key": key, "said": [(run.place, run.said[key]) for run in runs],
             "true": list(dict.fromkeys(runs[0].true[key]))[:REFERENCES],
             "frames": _frames(_found(folders, key))} for key in chosen]


def _found(folders: Sequence[Path], key: str) -> Path | None:
    """The video file of a key, below one of the folders or in its "videos"; never one outside."""
    for folder in (inner for one in folders for inner in (one, one / "videos", one.parent / "videos")):
        for suffix in ("", *sorted(VIDEO_SUFFIXES)):
            try:
                path = folder / (key + suffix)
                if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                    return path
            except (OSError, ValueError):  # a key that no file system could hold
                return None
    return None


def _frames(path: Path | None) -> list[str]:
    from features.video.frames import frames_at
    from features.video.info import probe

    if path is None:
        return []
    try:
        duration = probe(path).duration
        times = (np.arange(FRAMES) + 0.5) / FRAMES * duration
        return [data_uri(frame.image, SIDE) for frame in frames_at(path, times, threads=1, notes=[])]
    except HeedError:  # damaged, or there is nothing to decode it with: the captions are shown all the same
        return []
