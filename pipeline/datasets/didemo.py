"""Read DiDeMo (Hendricks et al. 2017): a description and four or more annotators' windows of 5-second segments.

    [{"video": "….mov", "description": "…", "annotation_id": 49152, "num_segments": 6, "times": [[1, 1], [0, 0], …]}, …]

[1, 2] means from 5 to 15 seconds. The moment's window is the one that most annotators gave; of several, the one that is
nearest to all the others' (least sum of distances between bounds), then the earliest. All are kept as alternatives, as
DiDeMo's own evaluation takes the best three of them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Moment

SEGMENT = 5.0


def recognises(path: Path) -> bool:
    """Whether this is a .json or .json.gz list that begins with a video of so many segments."""
    if not path.is_file() or not path.name.endswith((".json", ".json.gz")):
        return False
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            return b'"num_segments"' in file.read(2_000)
    except (OSError, EOFError, zlib.error):
        return False


def read(path: Path, split: str | None = None) -> list[Moment]:
    """The file's moments in order. ``split`` says nothing: a file is one split.

    A video's duration is its segments' 5 seconds each, of which the last may be shorter. Raises `HeedError` naming
    the annotation that is not in the format.
    """
    moments: list[Moment] = []
    try:
        data = path.read_bytes()
        rows: list[dict[str, Any]] = json.loads(gzip.decompress(data) if path.name.endswith(".gz") else data)
        for row in rows:
            times = np.array(row["times"], np.float32).reshape(-1, 2)
            if not len(times) or (times[:, 1] < times[:, 0]).any():
                raise ValueError("a window ends before it starts, or there is none")
            windows = (times + np.array([0, 1], np.float32)) * np.float32(SEGMENT)
            moments.append(Moment(
                str(row["annotation_id"]), str(row["video"]), str(row["description"]).strip(), agreed(windows)[None],
                row["num_segments"] * SEGMENT, alternatives=windows))
        return moments
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeedError(f"{path} is not in DiDeMo's format, at entry {len(moments) + 1}: {error!r}.") from None


def agreed(windows: np.ndarray) -> np.ndarray:
    """The window (2,) of (a, 2) on which annotators agree best, by the rule above."""
    found, count = np.unique(windows, axis=0, return_counts=True)
    distance = np.abs(found[:, None] - windows).sum((1, 2))
    return found[np.lexsort((found[:, 1], found[:, 0], distance, -count))[0]]
