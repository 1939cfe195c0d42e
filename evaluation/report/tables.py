"""The page's tables: every figure of every run side by side, with a strip that draws the intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from evaluation.bootstrap import Figure
from evaluation.names import ATTENTION, MEASURES, RETRIEVAL, Label, label_of
from evaluation.run_folder import RunFolder, settings


@dataclass(frozen=True)
class Cell:
    """One run's figure in a row."""

    value: str
    """"43.2 %"; "–" where the run has none."""
    interval: str
    """"38.1 to 48.0"; empty where there is none."""
    best: bool
    """Whether no other run's value is better and some run's is worse."""
    strip: tuple[float, float, float] | None
    """Low, value, high as 0..1 of the row's strip."""


@dataclass(frozen=True)
class Row:
    """One figure of all runs."""

    name: str
    """Its name in the evaluation file."""
    title: str
    """For people."""
    cells: list[Cell]
    """One a run."""
    marks: list[tuple[float, str]]
    """Ticks on the strip: place 0..1, and what it marks (chance, uniform, ceiling)."""
    ends: tuple[str, str]
    """What the strip's two ends stand for."""


def metric_rows(evaluations: list[dict[str, Any] | None], group: str) -> list[Row]:
    """Return the rows of a group, "retrieval" or "attention", that any run has a figure for."""
    labels = {"retrieval": RETRIEVAL, "attention": ATTENTION}[group]
    rows = []
    for name, label in labels.items():
        figures = [Figure.from_json(e[group][name]) if e and name in e.get(group, {}) else None for e in evaluations]
        if any(figures):
            rows.append(_row(name, label, figures, _marks(name, label, evaluations)))
    return rows


def figure_rows(evaluations: list[dict[str, Any] | None]) -> tuple[list[Row], list[Row]]:
    """Return the rows of the group "figures", which tasks other than matching have: the main ones, and the parts of
    them ("accuracy/kind/colour") that belong in the small print.
    """
    names = dict.fromkeys(name for e in evaluations if e for name in e.get("figures", {}))
    rows = []
    for name in names:
        figures = [Figure.from_json(e["figures"][name]) if e and name in e.get("figures", {}) else None
                   for e in evaluations]
        rows.append(_row(name, label_of(name), figures, {}))
    parts = [row for row in rows if "/" in row.name and row.name not in MEASURES]
    return [row for row in rows if row not in parts], parts


def _marks(name: str, label: Label, evaluations: list[dict[str, Any] | None]) -> dict[str, float]:
    """Return what to compare the figure with, as value by name, from the first run that says it."""
    marks: dict[str, float] = {}
    for found in filter(None, evaluations):
        if name in found.get("chance", {}):
            marks.setdefault("chance", float(found["chance"][name]))
        for other in ("uniform", "ceiling"):
            value = found.get("attention", {}).get(other, {}).get("value")
            if name in ("pointing", "mass") and value is not None:
                marks.setdefault(other, float(value))
    return {what: value for what, value in marks.items() if label.top is None or value <= label.top}


def _row(name: str, label: Label, figures: list[Figure | None], marks: dict[str, float]) -> Row:
    """Lay one row out."""
    known = [f for f in figures if f is not None and math.isfinite(f.value)]
    highest = max((max(f.value, f.high) if math.isfinite(f.high) else f.value for f in known), default=1.0)
    top = label.top or float(max(2, math.ceil(highest)))
    bottom = 1.0 if label.better < 0 else 0.0
    values = [f.value * label.better for f in known]
    told_apart = len(set(values)) > 1

    def place(value: float) -> float:
        return min(max((value - bottom) / (top - bottom), 0.0), 1.0) if top > bottom else 0.5

    cells = []
    for f in figures:
        if f is None or math.isnan(f.value):
            cells.append(Cell("–", "", False, None))
            continue
        wide = math.isfinite(f.low)
        strip = (place(f.low), place(f.value), place(f.high)) if wide else (place(f.value),) * 3
        unit = {"": "", "%": " %"}.get(label.unit, label.unit)
        first = told_apart and f.value * label.better == max(values)
        interval = f"{number(f.low)} to {number(f.high)}" if wide else ""
        cells.append(Cell(f"{number(f.value)}{unit}", interval, first, strip))
    return Row(name, label.title, cells, [(place(value), what) for what, value in marks.items()],
               (f"{bottom:g}", f"{top:g}"))


def number(value: float) -> str:
    """Write a figure in as many digits as it deserves."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if float(value).is_integer() and (abs(value) < 10 or value == 100):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.95 else f"{value:.2f}"


def differences(runs: list[RunFolder]) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """Return the settings in which runs differ, with each run's value, and those they share."""
    tables = [dict(settings(run.config)) for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    values = {name: [_said(table.get(name)) for table in tables] for name in names if name.split(".")[-1] != "out"}
    apart = [(name, said) for name, said in values.items() if len(set(said)) > 1]
    return apart, [(name, said[0]) for name, said in values.items() if len(set(said)) == 1]


def _said(value: Any) -> str:
    """Write a setting's value for people."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
