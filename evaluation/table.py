"""Figures as a table in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation.bootstrap import Figure
from evaluation.names import ATTENTION, RETRIEVAL


def print_matching(found: dict[str, Any], console: Console | None = None) -> None:
    """Print what `evaluation.matching.evaluate_matching` gave."""
    console = console or Console()
    protocol = {"all": "ranked among all", "1k": "mean of folds of 1,000 images"}[found["protocol"]]
    title = f"Matching: {found['images']:,} images, {found['captions']:,} captions, {protocol}"
    table = Table(title=title, title_justify="left", caption="95 % intervals, resampled by image",
                  caption_justify="left")
    for column in ("figure", "value", "95 % interval", "chance", "n"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for group, labels in (("retrieval", RETRIEVAL), ("attention", ATTENTION)):
        for name, label in labels.items():
            if (data := found[group].get(name)) is None:
                continue
            value, _, interval = str(Figure.from_json(data)).partition(" ")
            chance = found["chance"].get(name)
            table.add_row(label.title, f"{value} {label.unit}".strip(), interval,
                          "" if chance is None else f"{chance:.3g}", f"{data['n']:,}")
        table.add_section()
    console.print(table)
    for note in found["notes"]:
        console.print(f"Note: {note}.", markup=False, highlight=False)


def print_figures(
    title: str, figures: dict[str, dict[str, Any]], notes: list[str], by: str, console: Console | None = None
) -> None:
    """Print figures (name -> `Figure.to_json`) whose intervals were resampled ``by`` image, video or question."""
    console = console or Console()
    table = Table(title=title, title_justify="left", caption=f"95 % intervals, resampled by {by}",
                  caption_justify="left")
    for column in ("figure", "value", "95 % interval", "n"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, data in figures.items():
        value, _, interval = str(Figure.from_json(data)).partition(" ")
        table.add_row(name, value, interval, f"{data['n']:,}")
    console.print(table)
    for note in notes:
        console.print(f"Note: {note}.", markup=False, highlight=False)


def print_vqa(found: dict[str, Any], console: Console | None = None) -> None:
    """Print what `evaluation.vqa.evaluate_vqa` gave."""
    title = f"Answers to {found['questions']:,} questions about {found['images']:,} images, percent"
    print_figures(title, found["figures"], [] if found["attention"] else found["notes"], "image", console)
    if found["attention"]:
        best = ", ".join(f"{name}: step {step}" for name, step in found["best_step"].items())
        print_figures(f"Attention at every step{f' (best by pointing: {best})' if best else ''}",
                      found["attention"], found["notes"], "image", console)
