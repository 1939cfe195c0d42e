"""A sweep from its options to its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.errors import HeedError
from features.names import nearest
from pipeline.atomic import write_json
from training.run import from_json, to_json
from training.sweep.options import replaced
from training.sweep.plan import Trial, Variant, trials, variants
from training.sweep.schedule import run_inline, run_on_ray
from training.sweep.tables import write_tables
from training.sweep.trial import Outcome, TrialOrder, unmeasured

if TYPE_CHECKING:
    from training.sweep.command import SweepOptions

FAILED, SWEEP = "failed.json", "sweep.json"


def sweep(task: str, config: Any, options: SweepOptions) -> int:
    """Do what is not done of a sweep and write its tables; 0 where every trial has finished, 1 where one has not."""
    config = from_json(type(config), json.loads(json.dumps(to_json(config))))  # paths absolute: workers stand elsewhere
    if config.loop.workers > 1:
        raise HeedError("A sweep packs trials of one worker each: leave --workers at 1, and set --cores.")
    address, config = config.loop.address, replaced(config, "loop.address", "")
    points = variants(config, options.attention, options.vary, options.mask)
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
        print(write_tables(task, config, points, done, baseline, options.figures))
    print(f"{len(done)} of {len(listed)} trials are done; tables and plot: {config.out}/table.md, .csv, .tex, "
          "agreement.md, relation.md, relation.png.")
    for name, reason in failed.items():
        print(f"Failed: {name}: {reason}")
    if failed:
        print("Run the same command again to try these again, from their last checkpoints.")
    return 1 if failed else 0


def _baseline(points: Sequence[Variant], name: str) -> str:
    names = [point.name for point in points]
    if name and name not in names:
        raise HeedError(f"The baseline {name!r} is none of the sweep's variants{nearest(name, names)} They are "
                        f"{', '.join(names)}.")
    return name or names[0]


def _finished(trial: Trial, faithfulness: bool) -> bool:
    return trial.done and not unmeasured(trial.config.out, faithfulness)
