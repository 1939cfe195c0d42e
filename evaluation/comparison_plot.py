"""Accuracy against interpretability: a point a variant, with intervals over seeds and the noise floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.comparison import Compared
from evaluation.names import title_of

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#000000")
"""Paul Tol's bright scheme, told apart by colour-blind readers, too."""
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Panel:
    """One figure against the accuracy."""

    compared: Compared
    note: str
    """Under its title, such as a rank correlation."""


def plot_relation(accuracy: Compared, panels: Sequence[Panel], baseline: str, path: Path) -> None:
    """Write a picture with a panel for each figure of interpretability, accuracy along x.

    Variants of one family (the name up to the first "-") share a colour; those of a family differ in marker. The grey
    field around the baseline is the noise floor in both directions: what equal variants differ by.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    names = [row.variant for row in accuracy.rows if math.isfinite(row.mean.value)]
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns + 2.6, 3.7 * rows), squeeze=False, dpi=130)
    styles = _styles(names)
    for place, axis in enumerate(axes.flat):
        if place >= len(panels):
            axis.set_visible(False)
            continue
        _panel(axis, accuracy, panels[place], baseline, names, styles)
        if place + columns >= len(panels):
            axis.set_xlabel(title_of(accuracy.figure))
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1 - 2.5 / figure.get_figwidth(), 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": ""})
    plt.close(figure)


def _panel(axis, accuracy, panel, baseline, names, styles) -> None:  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    compared = panel.compared
    for name in names:
        across, up = accuracy.row(name).mean, compared.row(name).mean
        if not math.isfinite(up.value):
            continue
        colour, marker, filled = styles[name]
        bars = {side: [[max(0.0, mean.value - mean.low)], [max(0.0, mean.high - mean.value)]]
                for side, mean in (("xerr", across), ("yerr", up)) if math.isfinite(mean.low)}
        axis.errorbar(across.value, up.value, fmt=marker, color=colour, ecolor=colour, elinewidth=0.9, markersize=6,
                      markerfacecolor=colour if filled else "white", label=name, alpha=0.9, **bars)
    centre = accuracy.row(baseline).mean.value, compared.row(baseline).mean.value
    if math.isfinite(accuracy.floor) and math.isfinite(compared.floor) and all(map(math.isfinite, centre)):
        axis.add_patch(Rectangle((centre[0] - accuracy.floor, centre[1] - compared.floor), 2 * accuracy.floor,
                                 2 * compared.floor, facecolor="#999999", alpha=0.25, zorder=0, linewidth=0,
                                 label="noise floor around the baseline"))
    axis.set_title(f"{title_of(compared.figure)}\n{panel.note}", fontsize=9)
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.tick_params(labelsize=8)


def _styles(names: Sequence[str]) -> dict[str, tuple[str, str, bool]]:
    """Colour by family, marker within it, and open where W is on the query."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.split("-")[0], []).append(name)
    styles = {}
    for place, members in enumerate(families.values()):
        for number, name in enumerate(members):
            styles[name] = (COLOURS[place % len(COLOURS)], MARKERS[number % len(MARKERS)], "-query" not in name)
    return styles
