"""Evaluate answers to questions about images, and what was attended to for them, from files alone.

Predictions are a results file of the VQA challenge, [{"question_id", "answer"}]; attention is the file beside it
(`evaluation.attention_file`). A question with one answer is right by exact match, as CLEVR is judged; one with the
answers of several people by VQA's soft accuracy (`evaluation.metrics.answers`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.attention_file import AttentionFile
from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from evaluation.metrics.answers import vqa_accuracy
from evaluation.metrics.steps import step_figures
from features.errors import HeedError
from pipeline.annotations import Question


def answer_score(answer: str, people: Sequence[str]) -> float:
    """How right an answer is, 0 to 1: exact match with a single answer, VQA's soft accuracy with several."""
    return float(answer == people[0]) if len(people) == 1 else vqa_accuracy(answer, people)


def read_results(path: Path) -> dict[str, str]:
    """Answers by question id, as text, of a results file; raise `HeedError` where it is none or says one twice."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HeedError(f"the predictions {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise HeedError(f"the predictions {path} are not JSON ({error})") from None
    if not isinstance(rows, list) or not rows:
        raise HeedError(f"the predictions {path} hold no list of answers, as VQA results do")
    answers: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or "question_id" not in row or not isinstance(row.get("answer"), str):
            raise HeedError(f"row {number} of the predictions {path} has no question_id, or no answer in words")
        if str(row["question_id"]) in answers:
            raise HeedError(f"the predictions {path} answer question {row['question_id']!r} twice")
        answers[str(row["question_id"])] = row["answer"]
    return answers


def write_results(path: Path, answers: Sequence[tuple[str, str]]) -> None:
    """Write (question id, answer) pairs as a results file; an id that is a plain number is written as one."""
    from pipeline.atomic import atomic_write

    rows = [{"question_id": int(one) if one.isdecimal() and str(int(one)) == one else one, "answer": answer}
            for one, answer in answers]
    with atomic_write(path) as file:
        file.write(json.dumps(rows, ensure_ascii=False).encode())


def evaluate_vqa(
    predictions: Path, truth: Sequence[Question], attention: Path | None = None, resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute accuracy and attention's figures as one JSON-ready dict.

    Keys: task, questions and images (how many were judged), ``figures`` (accuracy and accuracy/KIND in percent),
    ``attention`` (of `evaluation.metrics.steps.step_figures`; empty without a file), ``best_step`` (name -> step from
    1), each figure as `Figure.to_json` with an interval by image, and ``notes``. Raises `HeedError` where predictions
    and truth have no question in common.
    """
    said = read_results(predictions)
    asked = {question.id: question for question in truth}
    both = [question for question in truth if question.id in said]
    if not both:
        raise HeedError(f"none of the {len(said):,} questions in {predictions} is among the {len(truth):,} of the "
                        f"truth (for example {next(iter(said))!r}): give the split they were made from")
    judged = [question for question in both if question.answers]
    notes = _notes(asked, said, len(both) - len(judged))
    figures: dict[str, Any] = {}
    if judged:
        right = np.array([100 * answer_score(said[one.id], one.answers) for one in judged])
        keys, image = np.unique([one.key for one in judged], return_inverse=True)
        weights = resample(len(keys), resamples, seed)
        kinds = np.array([one.kind for one in judged])
        for kind in ("", *sorted(set(kinds.tolist()) - {""})):
            chosen = np.flatnonzero(kinds == kind) if kind else np.arange(len(judged))
            samples = mean(weights, right[chosen], image[chosen])
            name = f"accuracy/{kind}" if kind else "accuracy"
            figures[name] = figure(samples, len(chosen), len(np.unique(image[chosen]))).to_json()
    seen, best = ({}, {}) if attention is None else step_figures(
        AttentionFile.read(attention), {one.id: one for one in both}, resamples, seed)
    return {
        "task": "vqa", "questions": len(judged), "images": len({one.key for one in judged}), "figures": figures,
        "attention": {name: value.to_json() for name, value in seen.items()},
        "best_step": {name: step + 1 for name, step in best.items()}, "notes": notes,
    }


def _notes(asked: dict[str, Question], said: dict[str, str], unanswered: int) -> list[str]:
    found = []
    for names, what in (
        (sorted(set(asked) - set(said)), "questions of the truth without a prediction, not judged"),
        (sorted(set(said) - set(asked)), "predictions for questions that are not in the truth, left out"),
    ):
        if names:
            found.append(f"{what}: {len(names):,} (for example {names[0]!r})")
    if unanswered:
        found.append(f"questions whose answers are kept back, not judged: {unanswered:,}")
    return found
