"""Learning curves: what the metrics lines hold, as charts ready to be drawn as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.names import ATTENTION, RETRIEVAL
from evaluation.run_folder import RunFolder

POINTS = 240
"""Most points a line is drawn with; more are averaged in bins."""
CHARTS = 8
"""Most charts on the page: the figures named first below, then others as they come."""
_FIRST = ("loss", "rsum", "t2i_r1", "i2t_r1", "pointing", "mass")
_NOT_FIGURES = {"step", "epoch", "split", "time", "seconds", "lr"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 220, 46, 14, 12, 30
"""Of a chart's drawing and its margins, in SVG units."""


@dataclass(frozen=True)
class Line:
    """One run's line."""

    run: int
    """Place of the run on the page."""
    x: list[float]
    """Steps."""
    y: list[float]
    """Values."""
    path: str
    """The same as an SVG path."""
    dots: list[tuple[float, float]]
    """Places of the points where there are few enough to see."""


@dataclass(frozen=True)
class Chart:
    """One figure by step, a line a run."""

    name: str
    """"train loss"."""
    title: str
    """For people."""
    lines: list[Line]
    """One a run that logged it."""
    x_ticks: list[tuple[float, str]]
    """Places and words."""
    y_ticks: list[tuple[float, str]]
    """Places and words."""
    x_range: tuple[float, float]
    """Steps at the plot's left and right."""
    y_range: tuple[float, float]
    """Values at its bottom and top."""


def charts(runs: list[RunFolder]) -> list[Chart]:
    """Return the train loss and every validated figure that at least one run has logged twice."""
    names: dict[tuple[str, str], None] = {}
    for run in runs:
        for entry in run.metrics:
            for name, value in entry.items():
                if name not in _NOT_FIGURES and _is_number(value) and (entry["split"] == "val" or "loss" in name):
                    names.setdefault((entry["split"], name))
    place = {name: number for number, name in enumerate(_FIRST)}
    order = sorted(names, key=lambda key: (key[0] != "train", place.get(key[1], len(_FIRST))))
    last = max((float(entry["step"]) for run in runs for entry in run.metrics), default=1.0)
    drawn = [_chart(split, name, [series(run, split, name) for run in runs], last) for split, name in order]
    return [chart for chart in drawn if any(len(line.x) > 1 for line in chart.lines)][:CHARTS]


def series(run: RunFolder, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values (at most `POINTS`) of one figure of one run; empty where it was not logged."""
    pairs = [(float(e["step"]), float(e[name])) for e in run.metrics if e["split"] == split and _is_number(e.get(name))]
    if not pairs:
        return np.zeros(0), np.zeros(0)
    bins = np.array_split(np.array(pairs), min(len(pairs), POINTS))
    means = np.array([part.mean(axis=0) for part in bins])
    return means[:, 0], means[:, 1]


def _is_number(value: Any) -> bool:
    """Whether it can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def title(split: str, name: str) -> str:
    """Return what the figure is called above its chart."""
    label = RETRIEVAL.get(name) or ATTENTION.get(name)
    if label is None:
        return f"{'Training' if split == 'train' else 'Validation'} {name.replace('_', ' ')}"
    return label.title + (f" ({label.unit})" if label.unit else "")


def _chart(split: str, name: str, data: list[tuple[np.ndarray, np.ndarray]], last: float) -> Chart:
    """Lay one chart out, from step 0 to step ``last``."""
    y_all = np.concatenate([y for _, y in data])
    x_low, x_high = 0.0, last
    y_values = ticks(float(y_all.min()), float(y_all.max()), 4)
    y_low, y_high = min(y_values[0], float(y_all.min())), max(y_values[-1], float(y_all.max()))
    x_values = [t for t in ticks(x_low, x_high, 4) if x_low <= t <= x_high]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1) * (WIDTH - LEFT - RIGHT)
        up = (y - y_low) / ((y_high - y_low) or 1) * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + across, 1), round(HEIGHT - BOTTOM - up, 1)

    lines = []
    for run, (x, y) in enumerate(data):
        if len(x):
            places = [place(*point) for point in zip(x, y, strict=True)]
            path = "M" + "L".join(f"{px:g} {py:g}" for px, py in places)
            lines.append(Line(run, [round(float(v), 1) for v in x], [float(f"{v:.5g}") for v in y], path,
                              places if len(places) <= 30 else []))
    return Chart(
        f"{split} {name}", title(split, name), lines, [(place(t, 0)[0], f"{t:,.0f}") for t in x_values],
        [(place(0, t)[1], f"{t:,g}") for t in y_values], (x_low, x_high), (y_low, y_high),
    )


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return round numbers, about ``count`` of them, that enclose low to high."""
    span, size = high - low, max(abs(low), abs(high))
    if span < 1e-9 * max(size, 1.0):  # flat
        span = size if size > 1e-9 else 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
