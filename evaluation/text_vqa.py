"""Evaluate answers to questions about words in images: right, copied, and looked at in the right place.

Answers are EvalAI's list [{"question_id", "answer"}]; MMF's ``pred_source`` beside them, "OCR" or "VOCAB" for each
word, tells copies. Attention is that of the decoder's steps (`evaluation.attention_file`, rows "decoder step"): among
its keys those with a box and a label are the words seen in the image. The *right* words at a step are those that spell
what is to be said there, the step's word of the answer that most people gave; where the truth has boxes to look at,
those with their centre in one of them. Steps for which no word is right are not judged.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.answers import evaluate_answers
from evaluation.attention_file import AttentionFile, StepAttention
from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from evaluation.metrics.answers import text_vqa_accuracy
from evaluation.run_folder import attention_path
from features.errors import HeedError
from features.text.m4c import clean
from pipeline.annotations import Question

DECODER = "decoder step"
_TIE = 1e-6


@dataclass(frozen=True)
class Look:
    """What one step's attention does, among the words seen in the image."""

    pointing: float
    """1 where the most attended is right; of several that share the top, the share that is right."""
    mass: float
    """Of the attention on words, the part on right ones."""
    uniform: float
    """Share of words that are right: pointing and mass of attention that is the same everywhere."""
    words: float
    """Of all attention, the part on words."""
    question: float
    """Of all attention, the part on the question."""


def evaluate_text_vqa(
    predictions: Path, truth: Sequence[Question], resamples: int = RESAMPLES, seed: int = 0, subset: bool = False
) -> dict[str, Any]:
    """Soft accuracy and ANLS, overall and by kind; copies and their accuracy; attention, where it was written.

    Keys: task, questions, figures (in percent, each as `Figure.to_json`, resampled by image) and notes. Raises
    `HeedError` as `evaluation.answers.evaluate_answers`.
    """
    rows = _rows(predictions)
    asked = {question.id: question for question in truth}
    table = [{"question_id": question.id, "image_id": question.key, "question_type": question.kind,
              "answers": list(question.answers)} for question in truth]
    found = evaluate_answers(rows, table, "text-vqa", resamples, seed, subset)
    notes = found["notes"]
    figures = {name.replace("question_type", "kind"): value for name, value in found["figures"].items()}

    def judged(values: Sequence[float], images: Sequence[str]) -> dict[str, Any]:
        keys, image = np.unique(images, return_inverse=True)
        samples = mean(resample(len(keys), resamples, seed), 100 * np.array(values, np.float64), image)
        return figure(samples, len(values), len(keys)).to_json()

    sources = {row["question_id"]: row["pred_source"] for row in rows if isinstance(row.get("pred_source"), list)}
    if sources:
        answers = {row["question_id"]: row["answer"] for row in rows}
        copied = [name for name, source in sources.items() if "OCR" in source]
        figures["copied"] = judged([float("OCR" in source) for source in sources.values()],
                                   [asked[name].key for name in sources])
        if copied:
            figures["accuracy/copied"] = judged([text_vqa_accuracy(answers[name], asked[name].answers)
                                                 for name in copied], [asked[name].key for name in copied])
    else:
        notes.append("the predictions do not say which words are copied (pred_source)")
    if attention_path(predictions).is_file():
        looks = _looks(AttentionFile.read(attention_path(predictions)), asked)
        images = [asked[name].key for name, _ in looks]
        for name in ("pointing", "mass", "uniform", "words", "question") if looks else ():
            figures[f"attention/{name}"] = judged([getattr(found, name) for _, found in looks], images)
    return {"task": "text-vqa", "questions": found["questions"], "figures": figures, "notes": notes}


def look(step: StepAttention, question: Question) -> Look | None:
    """Judge one step; None where none of the words is what is to be said at it."""
    target = _target(question)
    if step.step >= len(target):
        return None
    words = seen_words(step)
    boxes = step.keys.boxes[words]
    right = np.array([clean(step.keys.labels[place]) == target[step.step] for place in words], bool)
    if len(question.boxes):
        centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        inside = (centre >= question.boxes[None, :, :2]) & (centre <= question.boxes[None, :, 2:])
        right &= inside.all(-1).any(-1)
    if not right.any():
        return None
    weights = step.weights.mean(0, dtype=np.float64)
    of_words = weights[words]
    top = of_words >= of_words.max() * (1 - _TIE)
    total, uniform = of_words.sum(), float(right.mean())
    return Look(float(right[top].mean()), float(of_words[right].sum() / total) if total > 0 else uniform, uniform,
                float(total / weights.sum()), float(weights[step.keys.in_text].sum() / weights.sum()))


def seen_words(step: StepAttention) -> np.ndarray:
    """Places among the keys of the words seen in the image."""
    return np.flatnonzero(step.keys.in_image & np.array([bool(label) for label in step.keys.labels]))


def _target(question: Question) -> list[str]:
    """The words of the commonest answer."""
    counts = Counter(clean(answer) for answer in question.answers)
    return counts.most_common(1)[0][0].split() if counts else []


def _looks(attention: AttentionFile, asked: dict[str, Question]) -> list[tuple[str, Look]]:
    return [(name, found) for name in attention.rows if name in asked for step in attention.of(name, DECODER)
            if (found := look(step, asked[name])) is not None]


def _rows(path: Path) -> list[dict[str, Any]]:
    """The answers, with their questions' ids as text, as heed's truth has them."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise HeedError(f"{path} is not JSON in UTF-8: {error}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "question_id" in row for row in rows):
        raise HeedError(f'{path} is no list of answers [{{"question_id", "answer"}}].')
    return [{**row, "question_id": str(row["question_id"])} for row in rows]
