"""Read TACoS (Regneri et al. 2013) in the JSON that moment retrieval shares: by video, windows in frames.

    {"s34-d28.avi": {"timestamps": [[201, 487], …], "sentences": ["…", …], "fps": 29.4, "num_frames": 11800}, …}
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Moment


def recognises(path: Path) -> bool:
    """Whether this is JSON that begins with a video's timestamps."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return '": {"timestamps": [[' in file.read(400).replace("\n", " ")


def read(path: Path, split: str | None = None) -> list[Moment]:
    """The file's moments, seconds = frames / fps; ids are VIDEO#0, VIDEO#1, …. ``split`` says nothing: a file is one.

    Raises `HeedError` naming the video that is not in the format.
    """
    moments = []
    video = ""
    try:
        for video, entry in json.loads(path.read_text(encoding="utf-8")).items():
            fps = float(entry["fps"])
            windows = np.array(entry["timestamps"], np.float64).reshape(-1, 1, 2) / fps
            if (windows[:, :, 1] < windows[:, :, 0]).any():
                raise ValueError("a window ends before it starts")
            for number, (window, text) in enumerate(zip(windows, entry["sentences"], strict=True)):
                moments.append(Moment(f"{video}#{number}", video, text.strip(), window.astype(np.float32),
                                      float(entry["num_frames"]) / fps))
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        raise HeedError(f"{path} is not in TACoS' format{f' at {video}' if video else ''}: {error!r}.") from None
    return moments
