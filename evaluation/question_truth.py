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

from evaluation.truth import boxes_of, phrase_lines, read_lines, read_phrases
from pipeline.annotations import Question, TextQuestion
from pipeline.atomic import atomic_write


def write_question_truth(path: Path, questions: Iterable[Question | TextQuestion]) -> None:
    """Write the questions, in their order; programs and words read in the image are left out."""
    with atomic_write(path) as file:
        for asked in questions:
            line = {
                "id": asked.id, "image": asked.key, "text": asked.text, "answers": list(asked.answers),
                "kind": asked.kind, "boxes": np.asarray(asked.boxes).tolist(),
                "phrases": phrase_lines(getattr(asked, "phrases", ())),
            }
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def read_question_truth(path: Path) -> list[Question]:
    """Read what `write_question_truth` wrote; raise `HeedError` naming the line that is no such question."""
    return read_lines(path, "a question", _question)


def _question(line: dict[str, Any]) -> Question:
    if isinstance(line["answers"], str):
        raise TypeError("answers must be a list")
    return Question(str(line["id"]), str(line["image"]), str(line["text"]), tuple(map(str, line["answers"])),
                    str(line["kind"]), boxes_of(line["boxes"]), read_phrases(line.get("phrases", ())))
