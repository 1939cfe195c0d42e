"""The report's curves and samples as PNG figures for papers."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.report import curves
from evaluation.report.panels import background, panel

if TYPE_CHECKING:
    from evaluation.report.build import Gathered

COLOURS = ("#0069a6", "#c85200", "#00805d", "#a8518a", "#8a6d00", "#5f6b76")
"""A run each, as on the page (after Okabe and Ito: told apart by colour-blind readers too)."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (1, 2)))
PANELS = 8
"""Most words drawn of one caption: those of linked phrases first, then the longest."""
WIDTH, GAP = 240, 8
"""Of a panel and between panels, in pixels."""
DPI = 160


def write_figures(found: Gathered, folder: Path) -> list[Path]:
    """Write curves.png and a sample_NN.png a sample into ``folder``; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if drawn := curves.charts(found.runs):
        written.append(_save(_curves(found, drawn), folder / "curves.png"))
    for number, sample in enumerate(found.samples, 1):
        if sample["words"] and any("weights" in run for run in sample["runs"]):
            names = [found.names[place] for place in found.shown]
            picture = _sample(sample, names, found.photos.get(sample["key"]))
            written.append(_save(picture, folder / f"sample_{number:02d}.png"))
    return written


def _save(picture: Figure, path: Path) -> Path:
    """Render one figure without a display."""
    FigureCanvasAgg(picture)
    picture.savefig(path, dpi=DPI, facecolor="white", pil_kwargs={"compress_level": 4})
    return path


def _curves(found: Gathered, drawn: list[curves.Chart]) -> Figure:
    """One panel a chart, at most three in a row."""
    across = min(len(drawn), 3)
    down = math.ceil(len(drawn) / across)
    picture = Figure(figsize=(3.5 * across, 2.5 * down), layout="constrained")
    for number, chart in enumerate(drawn, 1):
        axes = picture.add_subplot(down, across, number)
        for line in chart.lines:
            axes.plot(line.x, line.y, color=COLOURS[line.run], linestyle=DASHES[line.run], linewidth=1.5,
                      label=_plain(found.names[line.run]))
        axes.set_title(chart.title, fontsize=9, loc="left")
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7.5)
        axes.grid(axis="y", color="#e3dfd6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if number == 1:
            axes.legend(fontsize=8, frameon=False)
    return picture


def _sample(sample: dict[str, Any], names: list[str], photo: np.ndarray | None) -> Figure:
    """A row a run, a panel a word: the photo with the regions the word attends to and its phrase's true boxes."""
    words = chosen_words(sample)
    small = background(sample, photo, WIDTH)
    drawn = [[panel(sample, run, word, small) for word in words] for run in sample["runs"]]
    height = len(drawn[0][0])
    mosaic = np.full((len(names) * (height + GAP) - GAP, len(words) * (WIDTH + GAP) - GAP, 3), 255, np.uint8)
    for row, line in enumerate(drawn):
        for column, pixels in enumerate(line):
            top, left = row * (height + GAP), column * (WIDTH + GAP)
            mosaic[top:top + height, left:left + WIDTH] = pixels
    # A pixel of the mosaic is a pixel of the figure; around it room for the caption, the words and the runs' names.
    left, above = 34, 62
    size = (mosaic.shape[1] + left, mosaic.shape[0] + above)
    picture = Figure(figsize=(size[0] / DPI, size[1] / DPI))
    picture.figimage(mosaic, left, 0, origin="upper")
    axes = picture.add_axes((left / size[0], 0, mosaic.shape[1] / size[0], mosaic.shape[0] / size[1]), frameon=False)
    axes.set(xlim=(0, mosaic.shape[1]), ylim=(mosaic.shape[0], 0), xticks=[], yticks=[])
    for column, word in enumerate(words):
        start, end = sample["words"][word]
        linked = any(word in phrase["words"] for phrase in sample["phrases"])
        axes.text((column + 0.5) * (WIDTH + GAP), -6, _plain(sample["text"][start:end]), fontsize=8, ha="center",
                  va="bottom", fontweight="bold" if linked else "normal")
    for row, name in enumerate(names):
        axes.text(-6, (row + 0.5) * (height + GAP), _plain(name), fontsize=8, ha="right", va="center", rotation=90)
    text = textwrap.shorten(sample["text"], max(24 * len(words), 30), placeholder=" …")
    axes.text(0, -36, _plain(text), fontsize=8.5, ha="left", va="bottom", style="italic")
    return picture


def chosen_words(sample: dict[str, Any]) -> list[int]:
    """Return at most `PANELS` words, in the order of the caption, by their places."""
    linked = {word for phrase in sample["phrases"] for word in phrase["words"]}
    length = [end - start for start, end in sample["words"]]
    best = sorted(range(len(length)), key=lambda word: (word not in linked, -length[word], word))
    return sorted(best[:PANELS])


def _plain(text: str) -> str:
    """Keep matplotlib from reading data as mathematics."""
    return text.replace("$", r"\$")
