"""What the page shows of a run that answers questions: which questions, and where each step of an answer looks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.attention_file import AttentionFile, StepAttention
from evaluation.metrics.answers import vqa_accuracy
from evaluation.question_truth import read_question_truth
from evaluation.run_folder import RunFolder, attention_path
from features.boxes import iou
from features.errors import HeedError
from pipeline.annotations import Question

RIGHT = 0.5
"""IoU of a region with a true box from which on it is that box."""
STEPS = 12
"""Most steps shown of one answer."""


@dataclass(frozen=True)
class Answered:
    """A run's answers, what it attended to, and the truth."""

    run: RunFolder
    answers: dict[str, str]
    """Question id -> answer."""
    attention: AttentionFile
    truth: dict[str, Question]
    """By id."""


def answered(run: RunFolder, split: str) -> Answered | None:
    """Read a run's answers; None where it has no attention or truth of that split beside them."""
    predictions, truth = run.predictions.get(split), run.truth.get(split)
    if predictions is None or truth is None or not attention_path(predictions).is_file():
        return None
    try:
        questions = {question.id: question for question in read_question_truth(truth)}
    except HeedError:
        return None
    return Answered(run, _answers(predictions), AttentionFile.read(attention_path(predictions)), questions)


def choose(run: Answered, count: int) -> list[str]:
    """Choose questions by a fixed rule: half answered rightly, half not, in the order of a hash of the id, each image
    once. Where a half is short the other fills it.
    """
    names = [name for name in run.attention.rows if name in run.truth and name in run.answers]
    halves: tuple[list[str], list[str]] = ([], [])
    for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        halves[not _right(run, name)].append(name)
    chosen: list[str] = []
    images: set[str] = set()
    while len(chosen) < count and any(halves):
        for half in halves:
            while half and len(chosen) < count:
                name = half.pop(0)
                if (key := run.truth[name].key) not in images:
                    chosen.append(name)
                    images.add(key)
                    break
    return chosen


def sample(run: Answered, name: str) -> dict[str, Any] | None:
    """Everything the page shows of a question, in the form of `evaluation.report.samples.sample`: its "words" are the
    steps, each with its weights over the regions; ``title`` is the question, ``answer``, ``true`` and ``right`` what
    was said. None where no step looks at the image.
    """
    question = run.truth[name]
    steps = [step for step in run.attention.of(name) if step.keys.in_image.any()][:STEPS]
    if not steps:
        return None
    seen = steps[0].keys.in_image
    boxes = np.round(steps[0].keys.boxes[seen], 1)
    steps = [step for step in steps if np.array_equal(step.keys.in_image, seen)]
    labels = [_label(run, step) for step in steps]
    starts = np.cumsum([0] + [len(label) + 3 for label in labels[:-1]])
    words = [[int(start), int(start) + len(label)] for start, label in zip(starts, labels, strict=True)]
    weights = [step.weights[:, seen].mean(axis=0) for step in steps]
    true = np.round(question.boxes, 1).tolist()
    right = iou(boxes, question.boxes).max(axis=1) >= RIGHT if len(true) else np.zeros(len(boxes), bool)
    phrases = [{"start": start, "end": end, "boxes": true, "words": [place]}
               for place, (start, end) in enumerate(words)] if true else []
    judged = [{"pointing": float(right[int(np.argmax(w))]), "reachable": bool(right.any()),
               "mass": round(float(w[right].sum() / max(w.sum(), 1e-9)), 4), "right": np.flatnonzero(right).tolist()}
              for w in weights]
    return {
        "id": name, "key": question.key, "text": "   ".join(labels), "title": question.text,
        "answer": run.answers[name], "true": _commonest(question.answers), "right": _right(run, name),
        "width": steps[0].width or 1, "height": steps[0].height or 1, "words": words, "phrases": phrases,
        "boxes": [boxes.tolist()], "first": int(np.argmax([w.max() for w in weights])),
        "runs": [{"boxes": 0, "of_phrases": judged if true else [],
                  "weights": [[round(float(value), 4) for value in w] for w in weights]}],
    }


def _label(run: Answered, step: StepAttention) -> str:
    """Name a step: "read 2: red, cube", by what it says, or by the words that were most attended to at that step."""
    said = [label for label in step.queries.labels if label]
    if not said:
        words = next((other for other in run.attention.of(step.id) if other.step == step.step
                      and other.keys.in_text.any() and not other.keys.in_image.any()), None)
        if words is not None:
            weights = words.weights.mean(axis=0)
            best = np.argsort(-weights, kind="stable")[:2]
            said = [words.keys.labels[i] for i in sorted(best) if weights[i] > 1 / len(weights)]
    return f"{step.name} {step.step + 1}" + (f": {', '.join(said)}" if said else "")


def _right(run: Answered, name: str) -> bool:
    people = run.truth[name].answers
    if len(people) < 2:
        return run.answers[name] == _commonest(people)
    return vqa_accuracy(run.answers[name], people) >= 0.5


def _commonest(answers: tuple[str, ...]) -> str:
    return max(answers, key=answers.count) if answers else ""


def _answers(path: Path) -> dict[str, str]:
    """A results file [{"question_id", "answer"}]; empty where it is something else."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {str(row["question_id"]): str(row["answer"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
