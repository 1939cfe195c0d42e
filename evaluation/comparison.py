"""Variants compared over seeds: from every run's figures to rows with intervals, tests and a noise floor.

The noise floor of a figure is the largest difference between the means of two variants that are one model by algebra:
what a sweep of so many seeds finds between things that do not differ. A difference no larger says nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.seeds import Mean, Paired, holm, mean_interval, paired
from features.errors import HeedError

Results = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Variant -> seed -> figure's name -> value."""


@dataclass(frozen=True)
class Group:
    """Variants that are one model by algebra."""

    variants: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Row:
    """One variant's figure."""

    variant: str
    mean: Mean
    against: Paired | None
    """Compared with the baseline; None for the baseline itself."""
    p_holm: float
    """Corrected for all variants compared in this figure; NaN for the baseline."""
    group: int | None
    """Place of its group of equals; None where it has none."""


@dataclass(frozen=True)
class Compared:
    """One figure of all variants."""

    figure: str
    rows: tuple[Row, ...]
    floor: float
    """The noise floor; NaN where no two variants that have run are equal."""
    spreads: tuple[tuple[float, float], ...] = field(default=())
    """For each group: the largest difference of two means, and the root mean square difference of two runs of one
    seed. NaN where fewer than two of it have run."""

    def row(self, variant: str) -> Row:
        """A variant's row."""
        return next(row for row in self.rows if row.variant == variant)

    def within_floor(self, row: Row) -> bool:
        """Whether a variant differs from the baseline by no more than equal variants do."""
        return row.against is not None and abs(row.against.difference.value) <= self.floor


def flat_figures(found: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every figure ({"value", "low", "high", "n"}) at any depth of a JSON value, as ("retrieval.rsum", 512.3)."""
    if not isinstance(found, dict):
        return
    if {"value", "low", "high", "n"} <= set(found):
        yield name, math.nan if found["value"] is None else float(found["value"])
        return
    for key, inner in found.items():
        yield from flat_figures(inner, f"{name}.{key}" if name else str(key))


def compare(results: Results, baseline: str, groups: Sequence[Group] = (), level: float = 0.95) -> list[Compared]:
    """Compare every figure that any run has; variants in the order of ``results``.

    A run without a figure does not count in it. Raises `HeedError` where the baseline is no variant.
    """
    if baseline not in results:
        raise HeedError(f"the baseline {baseline!r} is none of the variants that have run: {', '.join(results)}")
    names = dict.fromkeys(name for runs in results.values() for run in runs.values() for name in run)
    return [_compared(name, results, baseline, groups, level) for name in names]


def _compared(name: str, results: Results, baseline: str, groups: Sequence[Group], level: float) -> Compared:
    values = {variant: {seed: run[name] for seed, run in runs.items() if name in run and math.isfinite(run[name])}
              for variant, runs in results.items()}
    against = {variant: paired(of, values[baseline]) for variant, of in values.items() if variant != baseline}
    corrected = dict(zip(against, holm([one.p for one in against.values()]), strict=True))
    place = {variant: number for number, group in enumerate(groups) for variant in group.variants}
    rows = tuple(Row(variant, mean_interval(list(of.values()), level), against.get(variant),
                     corrected.get(variant, math.nan), place.get(variant)) for variant, of in values.items())
    spreads = tuple(_spread([values[v] for v in group.variants if values.get(v)]) for group in groups)
    return Compared(name, rows, max((largest for largest, _ in spreads if math.isfinite(largest)), default=math.nan),
                    spreads)


def _spread(members: list[dict[int, float]]) -> tuple[float, float]:
    largest, squares = math.nan, []
    for one, other in itertools.combinations(members, 2):
        shared = set(one) & set(other)
        differences = [one[seed] - other[seed] for seed in shared]
        if differences:
            squares += [d * d for d in differences]
            largest = max(0.0 if math.isnan(largest) else largest, abs(sum(differences) / len(differences)))
    return largest, math.sqrt(sum(squares) / len(squares)) if squares else math.nan
