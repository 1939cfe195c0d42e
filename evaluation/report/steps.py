"""Step-by-step maps, the attention study's figure for MAC: what was attended to at every step of an answer.

A picture a question: a column for each step, with the photo, the regions by their attention, dashed the boxes one has
to look at, and below it the question with its most attended words in colour; above, the answer and the truth.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.attention_file import AttentionFile, StepAttention
from evaluation.report.panels import background, panel
from evaluation.report.photos import load_photo, photo_folder
from evaluation.run_folder import read_run
from evaluation.vqa import answer_score, read_results
from features.errors import HeedError
from pipeline.annotations import Question

WIDTH, GAP, DPI = 320, 12, 160
"""Of a panel and between panels, in pixels; a pixel of a panel is a pixel of the figure."""
HEAD, LINE, FONT = 74, 21, 7.5
"""Pixels above the panels, pixels a line of words, points of a word."""
RIGHT, WRONG = "#00805d", "#c22f2f"
_LETTER = 0.602 * FONT * DPI / 72
"""Pixels of a letter of DejaVu Sans Mono."""


def write_step_figures(
    predictions: Path, truth: Sequence[Question], attention: Path, folder: Path, images: Path | None = None,
    count: int = 12,
) -> list[Path]:
    """Draw ``count`` questions (`choose`) into ``folder``, ID.png each; return the files.

    Photos are looked for in ``images``, else where the run's configuration says; without one the regions are drawn on
    grey. Raises `HeedError` where none of the questions has attention over regions.
    """
    seen, said = AttentionFile.read(attention), read_results(predictions)
    chosen = choose([one for one in truth if one.id in said and one.id in seen.rows], said, count)
    run = predictions.resolve().parent.parent
    if images is None and chosen and (run / "config.json").is_file():
        images = photo_folder([read_run(run)], chosen[0].key)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for asked in chosen:
        rows = seen.of(asked.id)
        if any(row.keys.in_image.any() for row in rows):
            picture = draw(asked, said[asked.id], rows, load_photo(images, asked.key))
            FigureCanvasAgg(picture)
            written.append(folder / (re.sub(r"[^\w.\-]+", "_", asked.id) + ".png"))
            picture.savefig(written[-1], dpi=DPI, facecolor="white")
    if not written and count:
        raise HeedError(f"{attention} has no attention over regions for any of the {len(truth):,} questions.")
    return written


def choose(questions: Sequence[Question], said: dict[str, str], count: int) -> list[Question]:
    """Questions by a fixed rule: right and wrong ones by turns, an image once, those with boxes before the others.

    Within these the order is that of a hash of the id: as good as drawn, the same every time, not picked by hand.
    """
    order = sorted(questions, key=lambda one: (not len(one.boxes), hashlib.sha256(one.id.encode()).hexdigest()))
    groups: list[list[Question]] = [[], []]
    for one in order:
        right = bool(one.answers) and answer_score(said[one.id], one.answers) >= 0.5
        groups[0 if right else 1].append(one)
    chosen: list[Question] = []
    images: set[str] = set()
    while len(chosen) < count and any(groups):
        for group in groups:
            while group and len(chosen) < count:
                one = group.pop(0)
                if one.key not in images:
                    chosen.append(one)
                    images.add(one.key)
                    break
    return chosen


def draw(asked: Question, answer: str, rows: Sequence[StepAttention], photo: np.ndarray | None) -> Figure:
    """The figure of one question."""
    steps = sorted({row.step for row in rows})
    looks = {row.step: row for row in rows if row.keys.in_image.any()}
    reads = {row.step: row for row in rows if row.keys.in_text.any() and not row.keys.in_image.any()}
    behind, panels = None, []
    for step in steps:
        sample, run = _sample(asked, looks.get(step))
        if behind is None:
            behind = background(sample, photo, WIDTH)
        panels.append(panel(sample, run, 0, behind))
    lines = _lines([(m.start(), m.end()) for m in re.finditer(r"\S+", asked.text)])
    high, below = panels[0].shape[0], LINE * (len(lines) + 1)
    wide = len(steps) * (WIDTH + GAP) - GAP
    picture = Figure(figsize=(wide / DPI, (HEAD + high + below) / DPI))
    axes = picture.add_axes((0, 0, 1, 1), frameon=False)
    axes.set(xlim=(0, wide), ylim=(HEAD + high + below, 0), xticks=[], yticks=[])
    for column, (step, pixels) in enumerate(zip(steps, panels, strict=True)):
        picture.figimage(pixels, column * (WIDTH + GAP), below, origin="upper")
        left = column * (WIDTH + GAP)
        axes.text(left + WIDTH / 2, HEAD - 5, f"step {step + 1}", fontsize=8, ha="center", va="bottom")
        _words(axes, asked.text, lines, reads.get(step), left, HEAD + high + LINE * 0.9)
    right = bool(asked.answers) and answer_score(answer, asked.answers) >= 0.5
    wanted = f"truth: {', '.join(dict.fromkeys(asked.answers))}" if asked.answers else "truth not known"
    text = textwrap.shorten(asked.text, max(24, int(wide / 11)), placeholder=" …")
    axes.text(4, 4, _plain(text), fontsize=9, va="top", fontweight="bold")
    axes.text(4, 27, _plain(f"answer: {answer}"), fontsize=8.5, va="top", color=RIGHT if right else WRONG)
    axes.text(wide - 4, 27, _plain(wanted), fontsize=8.5, va="top", ha="right")
    return picture


def _sample(asked: Question, row: StepAttention | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `evaluation.report.panels.panel` draws, as its one word."""
    if row is None:
        return {"width": 1, "height": 1, "boxes": [[]], "phrases": []}, {}
    there = row.keys.in_image
    weights = row.weights.mean(axis=0)[there]
    sample = {
        "width": row.width or int(np.ceil(row.keys.boxes[there, 2].max())),
        "height": row.height or int(np.ceil(row.keys.boxes[there, 3].max())),
        "boxes": [row.keys.boxes[there].tolist()],
        "phrases": [{"words": [0], "boxes": np.asarray(asked.boxes).tolist()}],
    }
    return sample, {"boxes": 0, "weights": [weights.tolist()]}


def _lines(words: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The words, as spans of characters, in lines that fit below a panel."""
    room = int(WIDTH / _LETTER)
    lines: list[list[tuple[int, int]]] = [[]]
    used = 0
    for start, end in words:
        if used and used + end - start > room:
            lines.append([])
            used = 0
        lines[-1].append((start, end))
        used += end - start + 1
    return lines


def _words(axes: Any, text: str, lines: list[list[tuple[int, int]]], row: StepAttention | None, left: float,
           top: float) -> None:
    """Write the question below a panel, each word's ground as strong as its attention beside the strongest."""
    weights = {}
    if row is not None:
        of_keys = row.weights.mean(axis=0)
        for start, end in (span for line in lines for span in line):
            inside = (row.keys.spans[:, 0] < end) & (row.keys.spans[:, 1] > start)
            weights[start] = float(of_keys[inside].sum())
    full = max([*weights.values(), 1e-9])
    for number, line in enumerate(lines):
        at = 0
        for start, end in line:
            strength = weights.get(start, 0.0) / full
            axes.text(left + at * _LETTER + 3, top + number * LINE, _plain(text[start:end]), fontsize=FONT,
                      family="DejaVu Sans Mono", va="center",
                      bbox={"boxstyle": "square,pad=0.15", "facecolor": (1, 0.69, 0, 0.9 * strength), "linewidth": 0})
            at += end - start + 1


def _plain(text: str) -> str:
    """Keep matplotlib from reading data as mathematics."""
    return text.replace("$", r"\$")
