"""The truth a run was judged by, kept in its folder: captions with their phrases and boxes, a JSON line each.

With it a run is evaluated and reported from its folder alone, wherever the dataset has gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Phrase
from pipeline.atomic import atomic_write

Sample = TypeVar("Sample")


def write_truth(path: Path, captions: Iterable[Caption]) -> None:
    """Write the captions, in their order, as JSON lines."""
    with atomic_write(path) as file:
        for caption in captions:
            line = {"id": caption.id, "image": caption.key, "text": caption.text,
                    "phrases": phrase_lines(caption.phrases)}
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def read_truth(path: Path) -> list[Caption]:
    """Read what `write_truth` wrote; raise `HeedError` naming the line that is not such a caption."""
    return read_lines(path, "a caption", lambda line: Caption(
        str(line["id"]), str(line["image"]), str(line["text"]), read_phrases(line["phrases"])))


def phrase_lines(phrases: Iterable[Phrase]) -> list[dict[str, Any]]:
    """Phrases as JSON holds them."""
    return [{"start": p.start, "end": p.end, "kind": p.kind, "boxes": np.asarray(p.boxes).tolist()} for p in phrases]


def read_phrases(lines: Iterable[dict[str, Any]]) -> tuple[Phrase, ...]:
    """What `phrase_lines` gave."""
    return tuple(Phrase(int(p["start"]), int(p["end"]), boxes_of(p["boxes"]), str(p["kind"])) for p in lines)


def boxes_of(values: Any) -> np.ndarray:
    """Boxes (n, 4) float32 xyxy pixels of JSON's lists."""
    return np.array(values, np.float32).reshape(-1, 4)


def read_lines(path: Path, what: str, read: Callable[[Any], Sample]) -> list[Sample]:
    """The samples of a file of JSON lines; raise `HeedError` naming the line that ``read`` does not take."""
    if not path.is_file():
        raise HeedError(f"there is no truth file {path}")
    samples = []
    with path.open("rb") as file:  # bytes: a text may hold characters that text mode would take for line ends
        for number, line in enumerate(file, 1):
            try:
                samples.append(read(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise HeedError(f"line {number} of {path} is not {what} as heed writes them ({error!r})") from None
    return samples
