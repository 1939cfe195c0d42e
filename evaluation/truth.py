"""The truth a run was judged by, kept in its folder: captions with their phrases and boxes, a JSON line each.

With it a run is evaluated and reported from its folder alone, wherever the dataset has gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Phrase
from pipeline.atomic import atomic_write


def write_truth(path: Path, captions: Iterable[Caption]) -> None:
    """Write the captions, in their order, as JSON lines."""
    with atomic_write(path) as file:
        for caption in captions:
            phrases = [{"start": p.start, "end": p.end, "kind": p.kind, "boxes": np.asarray(p.boxes).tolist()}
                       for p in caption.phrases]
            line = {"id": caption.id, "image": caption.key, "text": caption.text, "phrases": phrases}
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def read_truth(path: Path) -> list[Caption]:
    """Read what `write_truth` wrote; raise `HeedError` naming the line that is not such a caption."""
    if not path.is_file():
        raise HeedError(f"there is no truth file {path}")
    captions = []
    with path.open("rb") as file:  # bytes: a caption may hold characters that text mode would take for line ends
        for number, line in enumerate(file, 1):
            try:
                captions.append(_caption(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise HeedError(f"line {number} of {path} is not a caption as heed writes them ({error!r})") from None
    return captions


def _caption(line: dict[str, Any]) -> Caption:
    """Read one line."""
    phrases = tuple(
        Phrase(int(p["start"]), int(p["end"]), np.array(p["boxes"], np.float32).reshape(-1, 4), str(p["kind"]))
        for p in line["phrases"]
    )
    return Caption(str(line["id"]), str(line["image"]), str(line["text"]), phrases)
