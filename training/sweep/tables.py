"""What a sweep has found: the finished trials' figures into tables and a plot in its folder.

    OUT/table.csv, table.md, table.tex    every variant's figures over seeds, tests, the noise floor (the CSV has all)
    OUT/agreement.csv, agreement.md       how alike runs of other seeds attend
    OUT/relation.csv, relation.md, .png   accuracy against interpretability across variants
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.attention import has_attention, mean_agreement, read_attention
from evaluation.comparison import Compared, Group, Row, compare, flat_figures
from evaluation.comparison_extras import (
    Agreements,
    agreement_csv,
    agreement_markdown,
    relation_csv,
    relation_markdown,
)
from evaluation.comparison_plot import Panel, plot_relation
from evaluation.comparison_tables import to_csv, to_latex, to_markdown
from evaluation.relation import relation
from evaluation.run_folder import read_run
from evaluation.seeds import Mean
from features.errors import HeedError
from features.names import nearest
from pipeline.atomic import atomic_write
from training.sweep.equal import equal_groups
from training.sweep.plan import Trial, Variant

TELLING: dict[str, tuple[str, ...]] = {
    "matching": ("retrieval.rsum", "retrieval.t2i_r1", "retrieval.i2t_r1", "attention.pointing", "attention.mass",
                 "concentration.words.entropy", "concentration.words.gini", "faithfulness.deletion_gain",
                 "faithfulness.insertion_gain"),
    "vqa": ("figures.accuracy", "attention.read/best step/pointing", "attention.read/best step/mass",
            "concentration.read.entropy", "concentration.control.entropy", "faithfulness.deletion_gain",
            "faithfulness.insertion_gain"),
    "generation": ("figures.named_object", "figures.times_chance", "figures.named_colour", "figures.named_shape",
                   "figures.r_precision", "figures.fid", "figures.inception_score"),
    "moments": ("figures.MR-full-R1@0.5", "figures.MR-full-R1@0.7", "figures.MR-full-mAP",
                "figures.HL-min-VeryGood-mAP", "figures.HL-min-VeryGood-Hit1"),
    "classification": ("figures.top1", "figures.balanced"),
    "captioning": ("figures.CIDEr", "figures.BLEU-4", "figures.ROUGE-L", "figures.METEOR"),
    "description": ("figures.CIDEr", "figures.ROUGE-L", "figures.R@5/16", "figures.R@1/16", "figures.METEOR"),
}
"""Task -> the figures its tables show unless told otherwise; the first six there are, for a task without an entry."""
ACCURACY = {"matching": "retrieval.rsum", "vqa": "figures.accuracy", "moments": "figures.MR-full-mAP",
            "classification": "figures.top1", "captioning": "figures.CIDEr", "description": "figures.CIDEr"}
"""Task -> the figure that says how well it is done; the first there is, for a task without an entry."""
RELATED = ("pointing", "mass", "entropy", "gini", "deletion_gain", "insertion_gain")
"""Last names of figures of interpretability, which are related to the accuracy: those among a task's telling ones, or
all there are, for a task without an entry."""


def write_tables(
    task: str, config: Any, points: Sequence[Variant], done: Sequence[Trial], baseline: str, shown: Sequence[str]
) -> str:
    """Write all tables and the plot; gives the main one in Markdown."""
    out: Path = config.out
    found = results(done)
    ordered = {point.name: found[point.name] for point in points if point.name in found}
    if baseline not in ordered:
        return f"No table yet: no trial of the baseline {baseline} has finished.\n"
    groups = compared_groups(task, config, points)
    everything = compare(ordered, baseline, groups)
    telling = _chosen(task, everything, shown)
    markdown = to_markdown(telling, baseline, groups)
    _write(out, "table", csv=to_csv(everything), md=markdown, tex=to_latex(telling, baseline, groups))
    agreements = _agreements(done, list(ordered))
    pairs = {name: len(runs) * (len(runs) - 1) // 2 for name, runs in ordered.items()}
    if agreements:
        _write(out, "agreement", csv=agreement_csv(agreements, pairs), md=agreement_markdown(agreements, pairs))
    _relate(task, out, ordered, everything, agreements, groups, baseline)
    return markdown


def results(done: Sequence[Trial]) -> dict[str, dict[int, dict[str, float]]]:
    """What finished trials were judged: variant -> seed -> figure -> value."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for trial in done:
        run = trial.config.out
        figures: dict[str, float] = {}
        for path in (run / "evaluation" / "test.json", *sorted((run / "measures").glob("test.*.json"))):
            figures |= dict(flat_figures(json.loads(path.read_text(encoding="utf-8"))))
        found.setdefault(trial.variant, {})[trial.seed] = figures
    return found


def compared_groups(task: str, config: Any, points: Sequence[Variant]) -> list[Group]:
    """The groups of equal variants of a sweep: those of `training.sweep.equal`, among variants alike in all else."""
    rests = {json.dumps(point.options): point.options for point in points}
    groups = []
    for options in rests.values():
        for equal in equal_groups(task, Variant("", options).applied(config)):
            names = tuple(p.name for p in points if p.attention in equal.variants and p.options == options)
            if len(names) > 1:
                groups.append(Group(names, equal.reason))
    return groups


def _agreements(done: Sequence[Trial], names: Sequence[str]) -> Agreements:
    """Of the variants with two runs or more that have written attention."""
    found = {}
    for name in names:
        files = [read_run(trial.config.out).predictions.get("test") for trial in done if trial.variant == name]
        runs = [read_attention(path) for path in files if path is not None and has_attention(path)]
        if len(runs) > 1:
            found[name] = mean_agreement(runs)
    return found


def _relate(
    task: str, out: Path, ordered: dict[str, dict[int, dict[str, float]]], everything: Sequence[Compared],
    agreements: Agreements, groups: Sequence[Group], baseline: str,
) -> None:
    """Accuracy against every figure of interpretability; nothing where there is none."""
    known = {one.figure: one for one in everything}
    accuracy = ACCURACY.get(task, next(iter(known), ""))
    figures = [name for name in TELLING.get(task, tuple(known)) if name in known
               and name.replace("/", ".").split(".")[-1] in RELATED]
    if accuracy not in known or not figures:
        return
    relations = [relation(ordered, accuracy, name, groups) for name in figures]
    _write(out, "relation", csv=relation_csv(accuracy, relations), md=relation_markdown(accuracy, relations))
    panels = [Panel(known[one.figure], "" if math.isnan(one.rho) else
                    f"rank correlation {one.rho:+.2f} over {one.models} models, p {one.p_text}") for one in relations]
    for kind in next(iter(agreements.values()), {}):
        rows = tuple(Row(name, Mean(*agreements[name][kind]["js"], math.nan, 0), None, math.nan, None)
                     for name in agreements)
        if {row.variant for row in rows} == set(ordered):
            panels.append(Panel(Compared(f"agreement.{kind}.js", rows, math.nan), "bars: smallest to largest pair"))
    plot_relation(known[accuracy], panels, baseline, out / "relation.png")


def _chosen(task: str, everything: Sequence[Compared], shown: Sequence[str]) -> list[Compared]:
    known = {one.figure: one for one in everything}
    if unknown := [name for name in shown if name not in known]:
        raise HeedError(f"The runs have no figure {unknown[0]!r}{nearest(unknown[0], known)} They have "
                        f"{', '.join(known)}.")
    names = shown or [name for name in TELLING.get(task, ()) if name in known]
    if names:
        return [known[name] for name in names]
    return [one for one in everything if any(math.isfinite(row.mean.value) for row in one.rows)][:6]


def _write(out: Path, name: str, **texts: str) -> None:
    for suffix, text in texts.items():
        with atomic_write(out / f"{name}.{suffix}") as file:
            file.write(text.encode())
