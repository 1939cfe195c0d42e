"""A comparison as CSV (every figure), and as Markdown and LaTeX (the figures that matter)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from evaluation.comparison import Compared, Group, Row

SIGNIFICANT = 0.05
COLUMNS = ("figure", "variant", "seeds", "mean", "low", "high", "sd", "difference", "difference_low",
           "difference_high", "p", "p_holm", "equal_group", "noise_floor", "within_noise_floor")


def to_csv(compared: Sequence[Compared]) -> str:
    """A line a figure and variant; empty cells where there is nothing to say."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in compared:
        for row in one.rows:
            against = row.against
            difference = against.difference if against else None
            numbers = [row.mean.value, row.mean.low, row.mean.high, row.mean.sd,
                       *((difference.value, difference.low, difference.high) if difference else [math.nan] * 3),
                       against.p if against else math.nan, row.p_holm]
            writer.writerow([one.figure, row.variant, row.mean.n, *map(_plain, numbers),
                             "" if row.group is None else row.group + 1, _plain(one.floor),
                             "" if against is None or math.isnan(one.floor) else int(one.within_floor(row))])
    return out.getvalue()


def to_markdown(compared: Sequence[Compared], baseline: str, groups: Sequence[Group]) -> str:
    """One table: a row a variant, a column a figure; then the noise floor and what the marks mean."""
    if not compared:
        return "No run has finished yet.\n"
    lines = ["| variant | seeds | " + " | ".join(one.figure for one in compared) + " |",
             "|---|---|" + "---|" * len(compared)]
    for number, row in enumerate(compared[0].rows):
        equal = "" if row.group is None else f" ({_letter(row.group)})"
        seeds = max(one.rows[number].mean.n for one in compared)
        cells = [_cell(one, one.rows[number], "**{}**", "≈") for one in compared]
        lines.append(f"| {row.variant}{equal} | {seeds} | " + " | ".join(cells) + " |")
    if groups:
        lines.append("| *noise floor* | | " + " | ".join(_number(one.floor, _digits(one)) for one in compared) + " |")
    return "\n".join([*lines, "", *_legend(baseline, groups, "bold", "≈"), ""])


def to_latex(compared: Sequence[Compared], baseline: str, groups: Sequence[Group]) -> str:
    """The same table for a paper that loads booktabs."""
    if not compared:
        return "% No run has finished yet.\n"
    lines = [r"\begin{tabular}{l" + "r" * len(compared) + "}", r"\toprule",
             " & ".join(["variant", *(_tex(one.figure) for one in compared)]) + r" \\", r"\midrule"]
    for number, row in enumerate(compared[0].rows):
        equal = "" if row.group is None else f"$^{{{_letter(row.group)}}}$"
        cells = [_cell(one, one.rows[number], r"\textbf{{{}}}", r"$\approx$", r"$\pm$") for one in compared]
        lines.append(" & ".join([_tex(row.variant) + equal, *cells]) + r" \\")
    if groups:
        lines += [r"\midrule",
                  " & ".join(["noise floor", *(_number(one.floor, _digits(one)) for one in compared)]) + r" \\"]
    lines += [r"\bottomrule", r"\end{tabular}"]
    legend = ["% " + line for line in _legend(baseline, groups, "bold", "approx") if line]
    return "\n".join([*legend, *lines, ""])


def _legend(baseline: str, groups: Sequence[Group], strong: str, near: str) -> list[str]:
    said = [f"Mean over seeds and half the width of its 95 % interval (Student's t). {strong.capitalize()}: differs "
            f"from {baseline} by a paired t-test over seeds, p < {SIGNIFICANT} after Holm's correction for all "
            "variants in that figure."]
    if groups:
        said[0] += (f" Variants with the same letter are one model by algebra; the noise floor is the largest "
                    f"difference between means of two such. {near}: no further from {baseline} than that.")
        said.append("")
        said += [f"- ({_letter(number)}) {', '.join(group.variants)}: {group.reason}."
                 for number, group in enumerate(groups)]
    return said


def _cell(one: Compared, row: Row, strong: str, near: str, plus: str = "±") -> str:
    digits = _digits(one)
    text = _number(row.mean.value, digits)
    if row.p_holm < SIGNIFICANT:
        text = strong.format(text)
    if math.isfinite(row.mean.low):
        text += f" {plus} {_number((row.mean.high - row.mean.low) / 2, digits)}"
    return f"{text} {near}" if one.within_floor(row) else text


def _digits(one: Compared) -> int:
    """Digits behind the point so that the figure's typical interval shows two digits."""
    halves = sorted((row.mean.high - row.mean.low) / 2 for row in one.rows if row.mean.high > row.mean.low)
    typical = halves[len(halves) // 2] if halves else 0.1
    return min(4, max(0, 1 - math.floor(math.log10(typical))))


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _letter(group: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[group % 26]


def _tex(text: str) -> str:
    for char in "_%&#":
        text = text.replace(char, "\\" + char)
    return text
