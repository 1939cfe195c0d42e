"""How accuracy and interpretability go together across variants: rank correlation over models, not over names.

Variants that are one model by algebra count once, as their mean: three names for one function are no three witnesses.
The coefficient is Spearman's on means over seeds. Its p-value is of the hypothesis that the two are unrelated across
models (permutations of the models); its interval says how far the seeds pin it down (seeds drawn again, for all
variants alike, Efron's percentiles).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.comparison import Group, Results

PERMUTATIONS = 10_000
RESAMPLES = 1000


@dataclass(frozen=True)
class Relation:
    """One figure against the accuracy."""

    figure: str
    rho: float
    """-1..1; NaN with fewer than three models, or where all have the same rank."""
    low: float
    high: float
    p: float
    """Two-sided; its least possible value is about 2 / n! for n models."""
    models: int

    @property
    def p_text(self) -> str:
        """The p-value as it is written: ``= 0.012``, or ``< 0.001``."""
        return "< 0.001" if self.p < 0.001 else f"= {self.p:.3f}"


def relation(results: Results, accuracy: str, figure: str, groups: Sequence[Group] = (), seed: int = 0) -> Relation:
    """Correlate two figures across models, over the seeds that every variant has."""
    models = _models(results, groups)
    seeds = sorted(set.intersection(*(set(runs) for runs in results.values())))
    table = np.array([[[np.mean([results[variant][s].get(name, math.nan) for variant in model]) for s in seeds]
                       for model in models] for name in (accuracy, figure)])  # (2, models, seeds)
    table = table[:, np.isfinite(table).all(axis=(0, 2))]
    count = table.shape[1]
    if count < 3 or not seeds:
        return Relation(figure, math.nan, math.nan, math.nan, math.nan, count)
    x, y = table.mean(2)
    rho = float(spearman(x, y))
    if math.isnan(rho):
        return Relation(figure, rho, rho, rho, rho, count)
    rng = np.random.default_rng(seed)
    permuted = spearman(x, rng.permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1))
    p = (1 + int((np.abs(permuted) >= abs(rho) - 1e-12).sum())) / (1 + PERMUTATIONS)
    choice = rng.integers(len(seeds), size=(RESAMPLES, len(seeds)))
    drawn = spearman(*table[:, :, choice].mean(3).transpose(0, 2, 1))
    known = drawn[np.isfinite(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(seeds) > 1 and len(known) else (math.nan, math.nan)
    return Relation(figure, rho, float(low), float(high), p, count)


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of ranks along the last axis, ties sharing their mean rank; NaN where one is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (x, y))
    norm = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.divide((a * b).sum(-1), norm, out=np.full(norm.shape, np.nan), where=norm > 0)


def _models(results: Results, groups: Sequence[Group]) -> list[list[str]]:
    """Variants, those of a group together."""
    models: list[list[str]] = []
    seen: dict[int, list[str]] = {}
    for variant in results:
        number = next((i for i, group in enumerate(groups) if variant in group.variants), None)
        if number is None:
            models.append([variant])
        elif number in seen:
            seen[number].append(variant)
        else:
            seen[number] = [variant]
            models.append(seen[number])
    return models
