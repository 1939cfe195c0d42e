"""Tables beside the comparison: agreement between seeds, and the relation of accuracy and interpretability."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from evaluation.names import title_of
from evaluation.relation import Relation

Agreements = Mapping[str, Mapping[str, Mapping[str, tuple[float, float, float]]]]
"""Variant -> kind of attention -> js, top or chance -> (mean, smallest, largest) over pairs of seeds."""


def agreement_csv(agreements: Agreements, pairs: Mapping[str, int]) -> str:
    """A line a variant, kind and figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("variant", "kind", "figure", "mean", "smallest", "largest", "pairs"))
    for variant, kinds in agreements.items():
        for kind, figures in kinds.items():
            for name, values in figures.items():
                writer.writerow((variant, kind, name, *(f"{value:.6g}" for value in values), pairs[variant]))
    return out.getvalue()


def agreement_markdown(agreements: Agreements, pairs: Mapping[str, int]) -> str:
    """A row a variant and kind."""
    lines = ["| variant | attention of | pairs of seeds | similarity | same key on top | by chance |",
             "|---|---|---|---|---|---|"]
    for variant, kinds in agreements.items():
        for kind, figures in kinds.items():
            js, top, chance = (figures[name] for name in ("js", "top", "chance"))
            lines.append(f"| {variant} | {kind} | {pairs[variant]} | {_range(js)} | {_range(top)} | {chance[0]:.3f} |")
    return "\n".join([*lines, "", "Similarity is 1 - Jensen-Shannon divergence in bits, mean over pairs of runs with "
                      "other seeds (smallest to largest pair); the most attended key is the same with the probability "
                      "in the next column.", ""])


def relation_csv(accuracy: str, relations: Sequence[Relation]) -> str:
    """A line a figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("accuracy", "figure", "spearman", "low", "high", "p", "models"))
    for one in relations:
        numbers = ("" if math.isnan(value) else f"{value:.4g}" for value in (one.rho, one.low, one.high, one.p))
        writer.writerow((accuracy, one.figure, *numbers, one.models))
    return out.getvalue()


def relation_markdown(accuracy: str, relations: Sequence[Relation]) -> str:
    """A row a figure."""
    lines = [f"| against {title_of(accuracy)} | Spearman's rho | 95 % interval over seeds | p | models |",
             "|---|---|---|---|---|"]
    for one in relations:
        said = "– | – | –"
        if not math.isnan(one.rho):
            said = f"{one.rho:+.2f} | {one.low:+.2f} to {one.high:+.2f} | {one.p_text.removeprefix('= ')}"
        lines.append(f"| {title_of(one.figure)} | {said} | {one.models} |")
    return "\n".join([*lines, ""])


def _range(values: tuple[float, float, float]) -> str:
    mean, low, high = values
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"
