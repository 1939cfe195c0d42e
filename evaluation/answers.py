"""Evaluate answers: a results file [{"question_id", "answer"}] and the questions' ten human answers, to soft accuracy.

The truth is VQA v2's annotations file {"annotations": [{"question_id", "image_id", "answers": [{"answer"}, …],
"question_type", "answer_type"}]}, or a list of rows whose answers are plain texts, as TextVQA's are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from evaluation.metrics.answers import anls, text_vqa_accuracy, vqa_accuracy
from features.errors import HeedError

Rows = list[dict[str, Any]]
Protocol = Literal["vqa", "text-vqa"]
_ACCURACY: dict[str, Callable[[str, Sequence[str]], float]] = {"vqa": vqa_accuracy, "text-vqa": text_vqa_accuracy}
_GROUPS = ("answer_type", "question_type")


def evaluate_answers(
    results: Path | Rows, truth: Path | Rows, protocol: Protocol = "vqa", resamples: int = RESAMPLES, seed: int = 0,
    subset: bool = False,
) -> dict[str, Any]:
    """Compute accuracy, overall and by type of answer and question, and ANLS, as one JSON-ready dict.

    Keys: task, questions, ``figures`` (accuracy, accuracy/answer_type/…, accuracy/question_type/…, anls) in percent,
    each as `Figure.to_json`, resampled by image, and ``notes``. Raises `HeedError` where a file cannot be read or
    questions do not match; ``subset`` leaves out questions without a result.
    """
    said, true = _by_question(results, "results"), _by_question(truth, "truth")
    notes = _unmatched(set(said), set(true), subset)
    questions = [question for question in true if question in said]
    answers = [_answer(said[question]) for question in questions]
    people = [_people(true[question]) for question in questions]
    _, image = np.unique([str(true[q].get("image_id", q)) for q in questions], return_inverse=True)
    weights = resample(int(image.max()) + 1, resamples, seed)
    correct = np.array([_ACCURACY[protocol](answer, told) for answer, told in zip(answers, people, strict=True)])
    near = np.array([anls(answer, told) for answer, told in zip(answers, people, strict=True)])

    def judged(values: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
        samples = mean(weights, 100 * values[chosen], image[chosen])
        return figure(samples, len(chosen), len(np.unique(image[chosen]))).to_json()

    everything = np.arange(len(questions))
    figures = {"accuracy": judged(correct, everything), "anls": judged(near, everything)}
    for group in _GROUPS:
        kinds = np.array([str(true[question].get(group, "")) for question in questions])
        for kind in sorted(set(kinds.tolist()) - {""}):
            figures[f"accuracy/{group}/{kind}"] = judged(correct, np.flatnonzero(kinds == kind))
    return {"task": protocol, "questions": len(questions), "figures": figures, "notes": notes}


def _answer(row: dict[str, Any]) -> str:
    if not isinstance(row.get("answer"), str):
        raise HeedError(f"Question {row['question_id']!r} of the results has no answer.")
    return row["answer"]


def _people(row: dict[str, Any]) -> list[str]:
    people = [one.get("answer") if isinstance(one, dict) else one for one in row.get("answers") or []]
    if len(people) < 2 or not all(isinstance(one, str) for one in people):
        raise HeedError(f"Question {row['question_id']!r} of the truth has no answers by several people; is this a "
                        "test split, whose answers are kept by the challenge's server?")
    return [str(one) for one in people]


def _by_question(source: Path | Rows, what: str) -> dict[Any, dict[str, Any]]:
    rows: Any = source
    if isinstance(source, Path):
        try:
            rows = json.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            raise HeedError(f"{source} cannot be read: {error.strerror or error}.") from error
        except ValueError as error:
            raise HeedError(f"{source} is not JSON in UTF-8: {error}.") from error
    if isinstance(rows, dict):
        rows = rows.get("annotations", rows.get("data"))
    if not isinstance(rows, list) or not rows:
        raise HeedError(f"The {what} hold no questions: a list of rows with question_id is expected.")
    out: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or "question_id" not in row:
            raise HeedError(f"Row {number} of the {what} has no question_id.")
        if row["question_id"] in out:
            raise HeedError(f"The {what} have question {row['question_id']!r} twice.")
        out[row["question_id"]] = row
    return out


def _unmatched(said: set[Any], true: set[Any], subset: bool) -> list[str]:
    if extra := sorted(said - true, key=str):
        raise HeedError(f"{len(extra):,} of the results' questions are not in the truth, for example {extra[0]!r}.")
    if not (lacking := sorted(true - said, key=str)):
        return []
    note = f"questions without a result, left out: {len(lacking):,} (for example {lacking[0]!r})"
    if not subset:
        raise HeedError(f"The results lack questions: {note}. Add --subset to judge the others.")
    return [note]
