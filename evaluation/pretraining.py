"""Judge a pre-trained model by its predictions alone: a JSON line a caption, with its truth in it.

    {"caption": "…", "image": "…", "other": "…",          own image, and one it does not belong to
     "match": 3.1, "match_other": -2.0,                   log-odds that the caption belongs to the one and to the other
     "words": [["red", "red", "blue"], …],                hidden word; told with own and other image
     "regions": [["star", "star", "heart"], …]}           hidden region's class; likewise by caption
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from features.errors import HeedError
from pipeline.atomic import atomic_write

Told = tuple[str, str, str]
"""Truth; told with what belongs to it; told with what does not."""


@dataclass(frozen=True)
class PretrainingRow:
    """One caption's predictions."""

    caption: str
    image: str
    """Key of its own image."""
    other: str
    """Key of the other image."""
    match: float
    match_other: float
    words: tuple[Told, ...]
    regions: tuple[Told, ...]


def write_pretraining(path: Path, rows: Iterable[PretrainingRow]) -> None:
    """Write the rows as they come; the file takes its name when it is whole."""
    with atomic_write(path) as file:
        for row in rows:
            file.write((json.dumps(asdict(row), ensure_ascii=False) + "\n").encode())


def read_pretraining(path: Path) -> list[PretrainingRow]:
    """Read what `write_pretraining` wrote; `HeedError` naming the line that is not such a row."""
    if not path.is_file():
        raise HeedError(f"There is no predictions file {path}.")
    rows = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = _row(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise HeedError(f"Line {number} of {path} is no prediction of pre-training ({error!r}).") from None
            if not (math.isfinite(row.match) and math.isfinite(row.match_other)):
                raise HeedError(f"Line {number} of {path} has a score that is not finite: the model diverged.")
            rows.append(row)
    if not rows:
        raise HeedError(f"The predictions {path} are empty.")
    return rows


def _row(line: dict[str, Any]) -> PretrainingRow:
    told = {name: tuple((str(truth), str(own), str(other)) for truth, own, other in line[name])
            for name in ("words", "regions")}
    return PretrainingRow(str(line["caption"]), str(line["image"]), str(line["other"]), float(line["match"]),
                          float(line["match_other"]), told["words"], told["regions"])


def evaluate_pretraining(
    predictions: Path | Sequence[PretrainingRow], resamples: int = RESAMPLES, seed: int = 0,
) -> dict[str, Any]:
    """Percentages with intervals resampled by image, as one JSON-ready dict: task, captions, images, ``figures``.

    word_accuracy and region_accuracy: hidden ones told right; ``…_other``: with another image, or another caption;
    ``…_commonest``: always telling the commonest of the file. matching_accuracy: of own and other images, as many of
    each, whose log-odds have the right sign (chance 50); matching_pairs: captions that score their own image higher.
    """
    rows = read_pretraining(predictions) if isinstance(predictions, Path) else list(predictions)
    images = {key: place for place, key in enumerate(dict.fromkeys(row.image for row in rows))}
    image = np.array([images[row.image] for row in rows])
    weights = resample(len(images), resamples, seed)

    def judged(right: np.ndarray, of: np.ndarray) -> dict[str, Any]:
        return figure(mean(weights, 100.0 * right, of), len(right), len(np.unique(of))).to_json()

    own, other = np.array([row.match for row in rows]), np.array([row.match_other for row in rows])
    figures = {"matching_accuracy": judged(np.concatenate([own > 0, other <= 0]), np.concatenate([image, image])),
               "matching_pairs": judged(own > other, image)}
    for name in ("words", "regions"):
        told = [(*one, place) for row, place in zip(rows, image.tolist(), strict=True) for one in getattr(row, name)]
        if not told:
            continue
        truth, with_own, with_other, of = (np.array(column) for column in zip(*told, strict=True))
        commonest = Counter(truth.tolist()).most_common(1)[0][0]
        for kind, answer in (("", with_own), ("_other", with_other), ("_commonest", commonest)):
            figures[f"{name[:-1]}_accuracy{kind}"] = judged(truth == answer, of)
    return {"task": "pretraining", "captions": len(rows), "images": len(images), "figures": figures, "notes": []}
