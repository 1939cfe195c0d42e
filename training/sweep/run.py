"""A sweep from its options to its table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.comparison import Compared, Group, compare, flat_figures
from evaluation.comparison_tables import to_csv, to_latex, to_markdown
from features.errors import HeedError
from features.names import nearest
from pipeline.atomic import atomic_write, write_json
from training.run import from_json, to_json
from training.sweep.equal import equal_groups
from training.sweep.options import replaced
from training.sweep.plan import Trial, Variant, trials, variants
from training.sweep.schedule import run_inline, run_on_ray
from training.sweep.trial import Outcome, TrialOrder, unmeasured

if TYPE_CHECKING:
    from training.sweep.command import SweepOptions

TELLING: dict[str, tuple[str, ...]] = {
    "matching": ("retrieval.rsum", "retrieval.t2i_r1", "retrieval.i2t_r1", "attention.pointing", "attention.mass",
                 "attention.entropy", "concentration.words.gini", "faithfulness.deletion_gain",
                 "faithfulness.insertion_gain"),
    "generation": ("figures.named_object", "figures.times_chance", "figures.named_colour", "figures.named_shape",
                   "figures.r_precision", "figures.fid", "figures.inception_score"),
}
"""Task -> the figures its tables show unless told otherwise; the first six there are, for a task without an entry."""
FAILED, SWEEP = "failed.json", "sweep.json"


def sweep(task: str, config: Any, options: SweepOptions) -> int:
    """Do what is not done of a sweep and write its tables; 0 where every trial has finished, 1 where one has not."""
    config = from_json(type(config), json.loads(json.dumps(to_json(config))))  # paths absolute: workers stand elsewhere
    if config.loop.workers > 1:
        raise HeedError("A sweep packs trials of one worker each: leave --workers at 1, and set --cores.")
    address, config = config.loop.address, replaced(config, "loop.address", "")
    points = variants(config, options.attention, options.vary)
    baseline = _baseline(points, options.baseline)
    listed = trials(config, points, options.seeds)
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / SWEEP, {
        "task": task, "baseline": baseline, "seeds": sorted({trial.seed for trial in listed}),
        "variants": {point.name: {"attention": point.attention, **point.options} for point in points},
    })
    orders = [TrialOrder(trial.name, task, to_json(trial.config), options.cores, options.faithfulness)
              for trial in listed if not _finished(trial, options.faithfulness)]
    print(f"{config.out}: {len(points)} variants x {options.seeds} seeds of {task}; {len(orders)} trials to do.",
          flush=True)
    outcomes: list[Outcome] = []
    if orders and options.inline:
        outcomes = run_inline(orders, len(listed))
    elif orders:
        outcomes = run_on_ray(orders, len(listed), options.gpus, address)
    failed = {one.name: one.reason for one in outcomes if one.reason}
    write_json(config.out / FAILED, failed)
    done = [trial for trial in listed if trial.done]
    if done:
        found = _tables(task, config, points, done, baseline, options.figures)
        print(found)
    print(f"{len(done)} of {len(listed)} trials are done; tables: {config.out}/table.csv, table.md, table.tex.")
    for name, reason in failed.items():
        print(f"Failed: {name}: {reason}")
    if failed:
        print("Run the same command again to try these again, from their last checkpoints.")
    return 1 if failed else 0


def results(done: Sequence[Trial]) -> dict[str, dict[int, dict[str, float]]]:
    """What finished trials were judged: variant -> seed -> figure -> value."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for trial in done:
        figures: dict[str, float] = {}
        for path in figure_files(trial.config.out):
            figures |= dict(flat_figures(json.loads(path.read_text(encoding="utf-8"))))
        found.setdefault(trial.variant, {})[trial.seed] = figures
    return found


def figure_files(run: Path) -> list[Path]:
    """The files of a run that hold figures of its test split."""
    return [path for path in (run / "evaluation" / "test.json", *sorted((run / "measures").glob("test.*.json")))
            if path.exists()]


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


def _tables(
    task: str, config: Any, points: Sequence[Variant], done: Sequence[Trial], baseline: str, shown: Sequence[str]
) -> str:
    """Write the tables; give the Markdown one."""
    found = results(done)
    ordered = {point.name: found[point.name] for point in points if point.name in found}
    if baseline not in ordered:
        return f"No table yet: no trial of the baseline {baseline} has finished.\n"
    groups = compared_groups(task, config, points)
    everything = compare(ordered, baseline, groups)
    telling = _chosen(everything, shown or [name for name in TELLING.get(task, ())
                                            if any(one.figure == name for one in everything)])
    markdown = to_markdown(telling, baseline, groups)
    for name, text in (("csv", to_csv(everything)), ("md", markdown), ("tex", to_latex(telling, baseline, groups))):
        with atomic_write(config.out / f"table.{name}") as file:
            file.write(text.encode())
    return markdown


def _chosen(everything: Sequence[Compared], names: Sequence[str]) -> list[Compared]:
    known = {one.figure: one for one in everything}
    if unknown := [name for name in names if name not in known]:
        raise HeedError(f"The runs have no figure {unknown[0]!r}{nearest(unknown[0], known)} They have "
                        f"{', '.join(known)}.")
    if names:
        return [known[name] for name in names]
    return [one for one in everything if any(math.isfinite(row.mean.value) for row in one.rows)][:6]


def _baseline(points: Sequence[Variant], name: str) -> str:
    names = [point.name for point in points]
    if name and name not in names:
        raise HeedError(f"The baseline {name!r} is none of the sweep's variants{nearest(name, names)} They are "
                        f"{', '.join(names)}.")
    return name or names[0]


def _finished(trial: Trial, faithfulness: bool) -> bool:
    return trial.done and not unmeasured(trial.config.out, faithfulness)
