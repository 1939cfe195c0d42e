"""Pictures of maps: layers down, heads across."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from evaluation.probes.result import HeadMap, Result
from pipeline.atomic import atomic_write


def draw_maps(result: Result, folder: Path) -> list[Path]:
    """Write PROBE-MAP.png for each map; returns the files."""
    written = []
    for name, found in result.maps.items():
        path = folder / f"{result.probe}-{name.replace(' ', '-').replace('->', '-to-').replace('/', '-')}.png"
        picture = _picture(found, f"{name}, {result.variant}")
        with atomic_write(path) as file:
            FigureCanvasAgg(picture).print_png(file)
        written.append(path)
    return written


def _picture(found: HeadMap, title: str) -> Picture:
    heads = max((len(line) for line in found.values), default=1)
    grid = np.full((len(found.values), max(heads, 1)), np.nan)
    for row, line in zip(grid, found.values, strict=True):
        row[:len(line)] = line
    picture = Picture(figsize=(1.8 + 0.34 * heads, 1.3 + 0.3 * len(grid)), dpi=140, layout="constrained")
    axes = picture.add_subplot()
    finite = grid[np.isfinite(grid)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    colours = "viridis"
    if found.middle is not None:
        reach = max(high - found.middle, found.middle - low, 1e-9)
        low, high, colours = found.middle - reach, found.middle + reach, "RdBu_r"
    image = axes.imshow(grid, vmin=low, vmax=max(high, low + 1e-9), cmap=colours, aspect="auto")
    axes.set_xticks(range(heads), [str(head + 1) for head in range(heads)])
    axes.set_yticks(range(len(grid)), list(found.layers))
    axes.tick_params(labelsize=7)
    axes.set_xlabel("head", fontsize=8)
    axes.set_title(title, fontsize=9)
    bar = picture.colorbar(image, ax=axes)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(found.unit, fontsize=8)
    return picture
