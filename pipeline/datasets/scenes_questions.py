"""Questions about the pictures of a scenes folder, for `pipeline.datasets.read_questions`."""

from __future__ import annotations

from pathlib import Path

from pipeline.annotations import Question
from pipeline.datasets.scenes import read_questions, recognises

__all__ = ["read", "recognises"]


def read(path: str | Path, split: str | None = None, ten_answers: bool = False) -> list[Question]:
    """Questions with one certain answer each; see `pipeline.datasets.scenes.read_questions`."""
    return read_questions(path, split, ten_answers)
