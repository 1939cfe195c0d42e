"""The questions a run was judged by, kept in its folder as SPLIT.truth.jsonl: answers, kind, boxes to look at.

One JSON line each: {"id", "image", "text", "answers", "kind", "boxes", "phrases"}. Like `evaluation.truth`, which does
the same for captions, it makes a run's evaluation independent of where the dataset is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Phrase, Question, TextQuestion
from pipeline.atomic import atomic_write


def write_question_truth(path: Path, questions: Iterable[Question | TextQuestion]) -> None:
    """Write the questions, in their order; programs and words read in the image are left out."""
    with atomic_write(path) as file:
        for asked in questions:
            line = {
                "id": asked.id, "image": asked.key, "text": asked.text, "answers": list(asked.answers),
                "kind": asked.kind, "boxes": np.asarray(asked.boxes).tolist(),
                "phrases": [{"start": p.start, "end": p.end, "kind": p.kind, "boxes": np.asarray(p.boxes).tolist()}
                            for p in getattr(asked, "phrases", ())],
            }
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def read_question_truth(path: Path) -> list[Question]:
    """Read what `write_question_truth` wrote; raise `HeedError` naming the line that is no such question."""
    if not path.is_file():
        raise HeedError(f"there is no truth file {path}")
    questions = []
    with path.open("rb") as file:  # bytes: a question may hold characters that text mode would take for line ends
        for number, line in enumerate(file, 1):
            try:
                questions.append(_question(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise HeedError(f"line {number} of {path} is not a question as heed writes them ({error!r})") from None
    return questions


def _question(line: dict[str, Any]) -> Question:
    """Read one line."""
    if isinstance(line["answers"], str):
        raise TypeError("answers must be a list")
    phrases = tuple(
        Phrase(int(p["start"]), int(p["end"]), _boxes(p["boxes"]), str(p["kind"])) for p in line.get("phrases", ())
    )
    return Question(str(line["id"]), str(line["image"]), str(line["text"]), tuple(map(str, line["answers"])),
                    str(line["kind"]), _boxes(line["boxes"]), phrases)


def _boxes(values: Any) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 4)
