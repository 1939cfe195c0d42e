"""Linear probes with their controls: accuracy, shuffled labels and selectivity, baselines, intervals by image.

Fitted on the training images, the penalty chosen on validation, judged on test, once for each draw of negatives;
figures are means over the draws, and ``spread`` their standard deviation. ``shuffled``: the same with control labels
(Hewitt & Liang 2019): each group (a type's phrase, a predicate's pair of names, a sentence) has one label, drawn by
the training labels' frequencies, wherever it stands, so that a probe can only learn it by heart; whether two tokens
belong together is no property of either, so there each example's label is drawn anew. ``selectivity`` is the accuracy
less that. ``over X``: the accuracy less a baseline's on the same examples, with the interval of the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import Figure
from evaluation.probes.fitting import Rows, fit
from evaluation.probes.options import ProbeOptions
from evaluation.probes.result import Row
from evaluation.probes.study import Study
from features.errors import HeedError

ALL, MAJORITY = "all heads", "majority"
Interval = Callable[[np.ndarray, np.ndarray], Figure]
"""(values, their clusters) -> their mean with its interval."""


@dataclass(frozen=True)
class Question:
    """What is asked of examples, whatever features answer it."""

    name: str
    """The table's."""
    labels: np.ndarray
    """(n,) str."""
    split: np.ndarray
    """(n,) int64: 0 train, 1 val, 2 test."""
    cluster: np.ndarray
    """(n,) int64: the image."""
    group: np.ndarray
    """(n,) str: what a shuffled label depends on."""
    draw: np.ndarray
    """(n,) int64: -1 in every draw, otherwise in that one."""
    asked: np.ndarray
    """(n,) bool: whether the example takes part."""

    def classes(self) -> list[str]:
        """The labels of the training examples, in order."""
        return sorted(set(self.labels[self.asked & (self.split == 0)].tolist()))

    def draws(self, most: int) -> list[int]:
        """The draws that differ."""
        return sorted(set(self.draw[self.asked].tolist()) - {-1})[:most] or [-1]

    def rows(self, draw: int, split: int) -> np.ndarray:
        """The examples of a split in a draw."""
        return np.flatnonzero(self.asked & (self.split == split) & ((self.draw == -1) | (self.draw == draw)))

    def shuffled(self, draw: int) -> np.ndarray:
        """(n,) str: control labels for a draw, as frequent as its training labels."""
        train = self.rows(draw, 0)
        rng = np.random.default_rng([max(draw, 0), 11])
        groups, where = np.unique(self.group, return_inverse=True)
        return np.asarray(self.labels[rng.choice(train, len(groups))][where])


@dataclass(frozen=True)
class Answered:
    """How the test examples of all draws were answered."""

    right: np.ndarray
    """(m,) float64 of 0 and 1."""
    rows: np.ndarray
    """(m,) int64: which examples."""
    draw: np.ndarray
    """(m,) int64."""
    truth: np.ndarray
    """(m,) int64: classes; -1 for one that training did not show."""
    validation: float
    """Mean accuracy on validation over the draws: what layers are chosen by."""

    def spread(self) -> float:
        """Standard deviation of the draws' accuracies; NaN for one draw."""
        each = [float(self.right[self.draw == draw].mean()) for draw in np.unique(self.draw)]
        return float(np.std(each, ddof=1)) if len(each) > 1 else float("nan")

    def recall(self) -> float:
        """Mean over classes of the share that is answered right."""
        known = [self.right[self.truth == one].mean() for one in np.unique(self.truth[self.truth >= 0])]
        return float(np.mean(known)) if known else float("nan")


def answer(question: Question, matrix: np.ndarray | None, options: ProbeOptions, shuffled: bool = False) -> Answered:
    """Fit on each draw and judge; ``matrix`` (n, d), or None for the most frequent label of training."""
    right, rows, draws, truths, chosen_by = [], [], [], [], []
    for draw in question.draws(options.shuffled_seeds if shuffled else options.seeds):
        labels = question.shuffled(draw) if shuffled else question.labels
        train, val, test = (question.rows(draw, split) for split in range(3))
        classes = sorted(set(labels[train].tolist()))
        code = {label: place for place, label in enumerate(classes)}
        codes = np.array([code.get(label, -1) for label in labels.tolist()], np.int64)
        if matrix is None or len(classes) < 2:
            most = np.bincount(codes[train]).argmax()
            guess = np.full(len(test), most)
            chosen_by.append(float((codes[val] == most).mean()) if len(val) else float("nan"))
        else:
            held = [Rows(matrix, numbers).held() for numbers in (train, val, test)]
            linear = fit(held[0], codes[train], held[1], codes[val], len(classes), options.penalties,
                         options.iterations)
            guess = linear.predict(held[2])
            chosen_by.append(linear.validation)
        right.append(guess == codes[test])
        rows.append(test)
        draws.append(np.full(len(test), draw))
        truths.append(codes[test])
    return Answered(np.concatenate(right).astype(np.float64), np.concatenate(rows), np.concatenate(draws),
                    np.concatenate(truths), float(np.mean(chosen_by)))


class Asked:
    """A question with its baselines answered, to be answered from one kind of features after another."""

    def __init__(self, question: Question, baselines: Mapping[str, np.ndarray], options: ProbeOptions,
                 interval: Interval) -> None:
        """``baselines``: name -> (n, d). Raises `HeedError` where the split leaves nothing to train on or to test."""
        counts = [int((question.asked & (question.split == split)).sum()) for split in range(3)]
        classes = question.classes()
        if len(classes) < 2 or not counts[2]:
            raise HeedError(f"{question.name} is not measured: {counts[0]} training and {counts[2]} test examples of "
                            f"{len(classes)} classes are too few")
        self.question, self.options, self.interval, self.classes = question, options, interval, len(classes)
        self.known = {name: answer(question, matrix, options) for name, matrix in baselines.items()}
        self.known[MAJORITY] = answer(question, None, options)

    def row(self, name: str, matrix: np.ndarray) -> Row:
        """What features (n, d) called ``name`` answer, beside shuffled labels and the baselines."""
        return _row(self.question, name, answer(self.question, matrix, self.options),
                    answer(self.question, matrix, self.options, True), self.known, self.interval, self.classes)

    def baseline_rows(self) -> list[Row]:
        """What the baselines answer; "majority" is the last."""
        return [_row(self.question, name, found, None, {}, self.interval, self.classes)
                for name, found in self.known.items()]


def prepared(questions: Iterable[Question], baselines: Mapping[str, np.ndarray], options: ProbeOptions,
             interval: Interval) -> tuple[list[Asked], list[str]]:
    """The questions that can be asked, and a note for each that cannot."""
    asked, notes = [], []
    for question in questions:
        try:
            asked.append(Asked(question, baselines, options, interval))
        except HeedError as error:
            notes.append(str(error))
    return asked, notes


def _row(question: Question, name: str, found: Answered, control: Answered | None, baselines: Mapping[str, Answered],
         interval: Interval, classes: int) -> Row:
    def figure(values: np.ndarray, rows: np.ndarray) -> Figure:
        return interval(values, question.cluster[rows])

    row: Row = {"table": question.name, "features": name, "accuracy": figure(found.right, found.rows),
                "validation": found.validation, "mean recall": found.recall(), "spread": found.spread(),
                "classes": classes}
    if control is not None:
        common = len(control.right)  # the draws that were repeated come first
        row |= {"shuffled": figure(control.right, control.rows),
                "selectivity": figure(found.right[:common] - control.right, control.rows)}
    return row | {f"over {other}": figure(found.right - theirs.right, found.rows)
                  for other, theirs in baselines.items()}


def layer_rows(study: Study, asked: Sequence[Asked], matrix: np.ndarray, columns: Sequence[tuple[str, slice]]
               ) -> list[Row]:
    """Rows of every question: of all columns together ("all heads"), of each layer's alone, and of the baselines."""
    rows: list[Row] = []
    parts = [(ALL, slice(None)), *columns] if columns else []
    with study.progress(len(parts) * len(asked), "fits") as progress:
        for number, (name, place) in enumerate(parts):
            for at, question in enumerate(asked):
                rows.append(question.row(name, matrix[:, place]))
                progress.update(number * len(asked) + at + 1)
    return rows + [row for question in asked for row in question.baseline_rows()]


def best_row(rows: Sequence[Row]) -> Row:
    """The row that validation chooses, the first among equals; the first of all where there is no validation."""
    def score(row: Row) -> float:
        found = row.get("validation")
        return found if isinstance(found, float) and np.isfinite(found) else -1.0

    return max(rows, key=score)
