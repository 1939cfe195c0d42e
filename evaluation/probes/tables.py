"""A result's tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from evaluation.bootstrap import Figure
from evaluation.probes.result import Result, Row, Value
from pipeline.atomic import atomic_write

_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "→": r"$\rightarrow$",
          "–": "--", "×": r"$\times$"}


def write_tables(result: Result, folder: Path) -> list[Path]:
    """Write PROBE.csv (all numbers, intervals in columns of their own), PROBE.md and PROBE.tex into a folder."""
    written = []
    for suffix, content in ((".csv", to_csv(result)), (".md", to_markdown(result)), (".tex", to_latex(result))):
        path = folder / f"{result.probe}{suffix}"
        with atomic_write(path) as file:
            file.write(content.encode())
        written.append(path)
    return written


def columns(rows: Sequence[Row]) -> list[str]:
    """The columns in the order in which they first occur."""
    return list(dict.fromkeys(key for row in rows for key in row))


def to_csv(result: Result) -> str:
    """All tables in one, a line a row; a figure has four columns: its value, low, high and n."""
    rows: list[dict[str, object]] = []
    for row in result.rows:
        flat: dict[str, object] = {}
        for key, value in row.items():
            if isinstance(value, Figure):
                flat |= {key: _number(value.value), f"{key} low": _number(value.low),
                         f"{key} high": _number(value.high), f"{key} n": value.n}
            else:
                flat[key] = _number(value) if isinstance(value, float) else value
        rows.append(flat)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def to_markdown(result: Result) -> str:
    """A heading and a table for each, then the notes."""
    found = [f"# {result.probe}, {result.variant}", ""]
    for name, rows in result.tables.items():
        head = columns(rows)
        found += [f"## {name}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        found += [f"| {' | '.join(shown(row.get(key)).replace('|', '/') for key in head)} |" for row in rows] + [""]
    found += [f"- {note}" for note in result.notes]
    return "\n".join(found).rstrip() + "\n"


def to_latex(result: Result) -> str:
    """A tabular for each table, in booktabs' style, its name as a comment."""
    found = []
    for name, rows in result.tables.items():
        head = columns(rows)
        found += [f"% {result.probe}, {result.variant}: {name}", r"\begin{tabular}{" + "l" * len(head) + "}",
                  r"\toprule", " & ".join(map(_latex, head)) + r" \\", r"\midrule"]
        found += [" & ".join(_latex(shown(row.get(key))) for key in head) + r" \\" for row in rows]
        found += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(found)


def shown(value: Value) -> str:
    """A value for people: figures with their interval, three digits."""
    if value is None:
        return ""
    if isinstance(value, Figure):
        if math.isnan(value.value):
            return "–"
        interval = "" if math.isnan(value.low) else f" [{_digits(value.low)}, {_digits(value.high)}]"
        return _digits(value.value) + interval
    if isinstance(value, float):
        return "–" if math.isnan(value) else _digits(value)
    return str(value)


def _digits(number: float) -> str:
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.3f}"


def _number(value: float) -> object:
    return "" if math.isnan(value) else round(value, 6)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
