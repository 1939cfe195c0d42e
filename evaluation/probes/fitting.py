"""Linear probes: softmax regression on standardised features, its penalty chosen on validation, read in pieces.

    minimise  mean over train of -log softmax(W z + b)[y]  +  penalty / 2 |W|^2,   z = (x - mean) / deviation of train

solved by L-BFGS (scipy): no step size, no order of examples, and the same answer from any start, as it is convex. Two
classes have one logit. The penalties are gone through from the strongest on, each beginning where the last ended; kept
are the weights with the best accuracy on validation, the strongest penalty among equals. Standardisation is folded into
the weights, so that a matrix on the disk is never copied: ``ROWS`` rows of it are in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

ROWS = 1024
"""Rows at once: few enough that they are still in the processor's cache for the second of a step's two products."""
HELD = 400_000_000
"""Bytes of rows that are gathered into memory at most; more are read piece by piece in every step."""
PENALTIES = (1.0, 0.1, 0.01)
ITERATIONS = 25
"""Of L-BFGS, for each penalty."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a matrix of features, which may lie on the disk."""

    matrix: np.ndarray
    """(n, d) floats."""
    numbers: np.ndarray
    """(m,) int64 ascending: which rows."""

    def __len__(self) -> int:
        return len(self.numbers)

    def held(self) -> Rows:
        """The same rows, gathered into memory once where they take no more than ``HELD`` bytes."""
        if len(self) * self.matrix.shape[1] * 4 > HELD:
            return self
        return Rows(np.ascontiguousarray(self.matrix[self.numbers], np.float32), np.arange(len(self)))

    def pieces(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows as float32, some at once, and where they stand among them."""
        for first in range(0, len(self), ROWS):
            place = slice(first, min(first + ROWS, len(self)))
            numbers = self.numbers[place]
            whole = int(numbers[-1] - numbers[0]) == len(numbers) - 1
            piece = self.matrix[numbers[0]:numbers[-1] + 1] if whole else self.matrix[numbers]
            yield place, piece.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Linear:
    """A fitted probe."""

    weights: np.ndarray
    """(d, logits) float32 of the features as they are; one logit for two classes."""
    bias: np.ndarray
    """(logits,) float32."""
    penalty: float
    """The one that was chosen."""
    validation: float = float("nan")
    """Its accuracy on validation; NaN without any."""

    def scores(self, rows: Rows) -> np.ndarray:
        """(m, classes) float32 logits."""
        found = np.concatenate([x @ self.weights + self.bias for _, x in rows.pieces()]) if len(rows) else \
            np.zeros((0, len(self.bias)), np.float32)
        return found if found.shape[1] > 1 else np.concatenate([np.zeros_like(found), found], 1)

    def predict(self, rows: Rows) -> np.ndarray:
        """(m,) int64: the likeliest class."""
        return self.scores(rows).argmax(1)


def fit(train: Rows, labels: np.ndarray, validation: Rows, answers: np.ndarray, classes: int,
        penalties: tuple[float, ...] = PENALTIES, iterations: int = ITERATIONS) -> Linear:
    """Fit on ``train`` with ``labels`` (m,) 0..classes-1; without validation the middle penalty is taken.

    ``train`` must have at least one row and there must be two classes or more.
    """
    mean, deviation = moments(train)
    dim, logits = train.matrix.shape[1], 1 if classes == 2 else classes
    found = np.zeros((dim + 1) * logits)
    kept: tuple[float, Linear] | None = None
    for number, penalty in enumerate(penalties):
        found = minimize(_loss, found, (train, labels, mean, deviation, logits, penalty), jac=True, method="L-BFGS-B",
                         options={"maxiter": iterations}).x
        linear = _folded(found, mean, deviation, logits, penalty)
        if len(validation):
            score = float((linear.predict(validation) == answers).mean())
        else:
            score = 1.0 if number == len(penalties) // 2 else 0.0
        if kept is None or score > kept[0]:
            kept = score, linear
    assert kept is not None
    return replace(kept[1], validation=kept[0] if len(validation) else float("nan"))


def moments(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (d,) float32 over the rows; a deviation of 0 becomes 1."""
    total, squares = np.zeros(rows.matrix.shape[1]), np.zeros(rows.matrix.shape[1])
    for _, x in rows.pieces():
        total += x.sum(0, dtype=np.float64)
    mean = total / len(rows)
    for _, x in rows.pieces():
        squares += ((x - mean.astype(np.float32)) ** 2).sum(0, dtype=np.float64)
    deviation = np.sqrt(squares / len(rows))
    constant = deviation <= 1e-6 * np.maximum(1e-6, np.abs(mean))
    return mean.astype(np.float32), np.where(constant, 1.0, deviation).astype(np.float32)


def _folded(packed: np.ndarray, mean: np.ndarray, deviation: np.ndarray, logits: int, penalty: float) -> Linear:
    both = packed.reshape(-1, logits).astype(np.float32)
    weights = both[:-1] / deviation[:, None]
    return Linear(weights, both[-1] - mean @ weights, penalty)


def _loss(packed: np.ndarray, train: Rows, labels: np.ndarray, mean: np.ndarray, deviation: np.ndarray, logits: int,
          penalty: float) -> tuple[float, np.ndarray]:
    """The objective and its gradient, in float64 where sums are long."""
    linear = _folded(packed, mean, deviation, logits, penalty)
    loss, by_weight, by_bias = 0.0, np.zeros((len(mean), logits)), np.zeros(logits)
    for place, x in train.pieces():
        scores, y = x @ linear.weights + linear.bias, labels[place]
        if logits == 1:
            signed = np.where(y == 1, -scores[:, 0], scores[:, 0]).astype(np.float64)
            loss += float(np.logaddexp(0, signed).sum())
            rest = (_sigmoid(scores[:, 0]) - y).astype(np.float32)[:, None]
        else:
            scores -= scores.max(1, keepdims=True)
            rest = np.exp(scores)
            total = rest.sum(1, keepdims=True)
            loss += float((np.log(total[:, 0]) - scores[np.arange(len(y)), y]).sum(dtype=np.float64))
            rest /= total
            rest[np.arange(len(y)), y] -= 1
        by_weight += x.T @ rest
        by_bias += rest.sum(0, dtype=np.float64)
    by_weight = (by_weight - np.outer(mean, by_bias)) / deviation[:, None]
    weights = packed.reshape(-1, logits)[:-1]
    gradient = np.concatenate([by_weight / len(train) + penalty * weights, by_bias[None] / len(train)])
    return loss / len(train) + penalty / 2 * float((weights**2).sum()), gradient.ravel()


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -80, 80))))
