"""What the page shows of runs that describe films: stretches of films, the true sentences beside those of each run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.description import read_rows
from evaluation.metrics.penn_words import penn_words
from evaluation.metrics.similarity import word_f1
from evaluation.run_folder import RunFolder
from features.errors import HeedError

STRETCH = 4
"""Descriptions shown of one film, one after the other."""


def chosen(runs: Sequence[RunFolder], split: str, count: int) -> list[dict[str, Any]]:
    """Stretches of about ``count`` descriptions in all, by a fixed rule: films and places by a hash of the film.

    Each is {"video", "runs": places among ``runs`` of those shown, "rows": [{"start", "end", "true", "said": [{"text",
    "f1"} of each run]}]}, f1 being that of the words. Only descriptions that all runs have are shown.
    """
    read = {place: rows for place, run in enumerate(runs) if run.config.get("task") == "description"
            and (rows := _read(run, split)) is not None}
    if not read:
        return []
    known: dict[str, list[dict[str, Any]]] = {}
    for row in next(iter(read.values()))[1].values():
        if all(row["id"] in said for said, _ in read.values()):
            known.setdefault(row["video"], []).append(row)
    stretches = []
    for film in sorted(known, key=_hash)[: max(1, count // STRETCH)]:
        true = sorted(known[film], key=lambda row: (row["start"], row["end"]))
        first = int(_hash(film), 16) % max(1, len(true) - STRETCH + 1)
        shown = [_row(row, [said[row["id"]]["sentence"] for said, _ in read.values()])
                 for row in true[first : first + STRETCH]]
        stretches.append({"video": film, "runs": list(read), "rows": shown})
    return stretches


def _row(true: dict[str, Any], sentences: list[str]) -> dict[str, Any]:
    reference, *words = penn_words([true["sentence"], *sentences])
    return {"start": true["start"], "end": true["end"], "true": true["sentence"],
            "said": [{"text": text, "f1": round(float(word_f1([one], [reference])[0, 0]), 2)}
                     for text, one in zip(sentences, words, strict=True)]}


def _read(run: RunFolder, split: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Predictions and truth by id; None where the run has not both."""
    paths: list[Path | None] = [run.predictions.get(split), run.truth.get(split)]
    try:
        said, true = ({row["id"]: row for row in read_rows(path, "descriptions")} for path in paths if path)
    except (HeedError, ValueError):
        return None
    return said, true


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
