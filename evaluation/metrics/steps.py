"""Attention at every step of an answer against what one has to look at (`evaluation.attention_file`).

A step's attention over the regions of the image, renormalised over them where it has other keys too, is measured like
a phrase's (`evaluation.metrics.grounding`): the truth are the boxes one has to look at for the answer. A region is
right where its IoU with one of them is at least 0.5; the cells of a grid are right where their centre lies in one. Over
words the entropy alone is measured.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from evaluation.attention_file import StepAttention
from evaluation.bootstrap import RESAMPLES, Figure, figure, mean, resample
from evaluation.metrics.grounding import RIGHT, PhraseAttention, entropy, grounding, region_attention
from features.boxes import grid_of, iou
from pipeline.annotations import Question


def right_boxes(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return (n,) bool: which of ``boxes`` (n, 4) are right by the boxes of the truth (m, 4), all xyxy pixels."""
    if not len(boxes) or not len(truth):
        return np.zeros(len(boxes), bool)
    if grid_of(boxes) is None:
        return np.asarray(iou(boxes, truth)).max(axis=1) >= RIGHT
    x, y = (boxes[:, :2] + boxes[:, 2:]).T[:, :, None] / 2
    return ((truth[:, 0] <= x) & (x < truth[:, 2]) & (truth[:, 1] <= y) & (y < truth[:, 3])).any(axis=1)


def step_figures(
    rows: Iterable[StepAttention], truth: dict[str, Question], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[dict[str, Figure], dict[str, int]]:
    """Figures by name and step, and the best step of each name whose keys are regions.

    Names are "read/step 1/pointing", and so for mass, entropy, uniform, ceiling and the ratios; "read/best step/…"
    repeats those of the step that points best, by all the questions; "control/step 1/entropy" is over words. Rows of
    samples that ``truth`` lacks are left out, and from regions those whose truth has no boxes. A row of several
    queries counts once, by the mean of its weights.
    """
    regions: dict[str, dict[int, list[PhraseAttention]]] = {}
    words: dict[str, dict[int, list[tuple[str, float]]]] = {}
    for row in rows:
        asked = truth.get(row.id)
        if asked is None or not len(row.queries):
            continue
        weights = row.weights.mean(axis=0, dtype=np.float64)
        if row.keys.in_image.any():
            if len(asked.boxes):
                looked = _looked(weights[row.keys.in_image], row.keys.boxes[row.keys.in_image], asked)
                regions.setdefault(row.name, {}).setdefault(row.step, []).append(looked)
        else:
            words.setdefault(row.name, {}).setdefault(row.step, []).append((asked.key, entropy(_whole(weights))))
    figures: dict[str, Figure] = {}
    best: dict[str, int] = {}
    for name, steps in sorted(regions.items()):
        by_step = {step: grounding(found, resamples, seed) for step, found in sorted(steps.items())}
        best[name] = max(by_step, key=lambda step: by_step[step]["pointing"].value)
        for step, found in by_step.items():
            figures |= {f"{name}/step {step + 1}/{what}": value for what, value in found.items()}
        figures |= {f"{name}/best step/{what}": value for what, value in by_step[best[name]].items()}
    for name, of_words in sorted(words.items()):
        for step, entropies in sorted(of_words.items()):
            figures[f"{name}/step {step + 1}/entropy"] = _mean(entropies, resamples, seed)
    return figures, best


def _looked(weights: np.ndarray, boxes: np.ndarray, asked: Question) -> PhraseAttention:
    return region_attention(_whole(weights), right_boxes(boxes, np.asarray(asked.boxes, np.float32)), asked.key)


def _whole(weights: np.ndarray) -> np.ndarray:
    """Weights that sum to 1: uniform where all are zero."""
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / max(len(weights), 1))


def _mean(values: list[tuple[str, float]], resamples: int, seed: int) -> Figure:
    keys, image = np.unique([key for key, _ in values], return_inverse=True)
    numbers = np.array([value for _, value in values])
    defined = np.isfinite(numbers)
    samples = mean(resample(len(keys), resamples, seed), numbers[defined], image[defined])
    return figure(samples, int(defined.sum()), len(keys))
