"""Pictures of maps: layers down, heads across."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from PIL import Image

from evaluation.probes.result import HeadMap, Result
from pipeline.atomic import atomic_write


def draw_maps(result: Result, folder: Path) -> list[Path]:
    """Write PROBE-MAP.png for each map and picture; returns the files."""
    written = []
    for name, found in result.maps.items():
        path = folder / f"{result.probe}-{name.replace(' ', '-').replace('->', '-to-').replace('/', '-')}.png"
        picture = _picture(found, f"{name}, {result.variant}")
        with atomic_write(path) as file:
            FigureCanvasAgg(picture).print_png(file)
        written.append(path)
    for name, pixels in result.pictures.items():
        path = folder / f"{result.probe}-{name}.png"
        with atomic_write(path) as file:
            Image.fromarray(pixels).save(file, "PNG")
        written.append(path)
    return written


def _picture(found: HeadMap, title: str) -> Picture:
    heads = max((len(line) for line in found.values), default=1)
    grid = np.full((len(found.values), max(heads, 1)), np.nan)
    for row, line in zip(grid, found.values, strict=True):
        row[:len(line)] = line
    margin = 0.4 + 0.075 * max(map(len, found.layers), default=8)
    width, height = margin + 0.34 * heads + 0.95, 0.95 + 0.3 * len(grid)
    picture = Picture(figsize=(width, height), dpi=140)  # places are given, as finding them takes longer than drawing
    bottom, tall = 0.5 / height, 0.3 * len(grid) / height
    axes = picture.add_axes((margin / width, bottom, 0.34 * heads / width, tall))
    finite = grid[np.isfinite(grid)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    colours: Any = "viridis"
    if found.middle is not None:
        reach = max(high - found.middle, found.middle - low, 1e-9)
        low, high, colours = found.middle - reach, found.middle + reach, "RdBu_r"
    if found.classes:
        low, high, colours = -0.5, len(found.classes) - 0.5, colormaps["Set2"].resampled(len(found.classes))
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    image = axes.imshow(grid, vmin=low, vmax=high, cmap=colours, aspect="auto")
    axes.set_xticks(range(heads), [str(head + 1) for head in range(heads)])
    axes.set_yticks(range(len(grid)), list(found.layers))
    axes.tick_params(labelsize=7)
    axes.set_xlabel("head", fontsize=8)
    axes.set_title(title, fontsize=9)
    bar = picture.colorbar(image, cax=picture.add_axes((1 - 0.8 / width, bottom, 0.12 / width, tall)))
    bar.ax.tick_params(labelsize=7)
    if found.classes:
        bar.set_ticks(range(len(found.classes)), labels=list(found.classes))
    else:
        bar.set_label(found.unit, fontsize=8)
    return picture
