"""`heed sweep TASK`: its options are the sweep's and the task's own. Light to import."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any

from tyro.conf import arg

from training.tasks import TASKS, task_config


@dataclass(frozen=True)
class SweepOptions:
    """What is varied and where it runs."""

    # Attention variants: all, study (those of the released code), or names such as general-key; a wrong name is told
    # the list.
    attention: tuple[str, ...] = ()
    # Masks in the attention: all that the task has, or names: none, lam, lam-multi, control and, in captioning, sparse.
    mask: tuple[str, ...] = ()
    # Other options to vary, such as lr=1e-3,2e-3; several, and the variants above, give all combinations.
    vary: tuple[str, ...] = ()
    # Runs of every variant; their seeds count on from --seed.
    seeds: int = 5
    # The variant that others are compared with; by default the first.
    baseline: str = ""
    # Figures to show, such as retrieval.rsum; by default the task's most telling ones. The CSV has all.
    figures: tuple[str, ...] = ()
    # Measure faithfulness, too: how scores fall and rise as the most attended regions are taken away and put back.
    faithfulness: bool = False
    # Cores a trial.
    cores: int = 1
    # Share of a GPU a trial takes on Ray; by default a whole one where there are any.
    gpus: float | None = None
    # Work in this process, a trial at a time, without Ray; else trials are packed on this machine, or on the cluster at
    # --address, which must share this file system.
    inline: bool = False


def __getattr__(task: str) -> type:
    """The command of a task: a dataclass of `SweepOptions` and the task's configuration, with ``run``."""
    if task not in TASKS:
        raise AttributeError(task)

    def run(self: Any) -> int:
        from training.sweep.run import sweep

        return sweep(task, self.config, self.sweep)

    command = make_dataclass("Sweep", [
        ("sweep", Annotated[SweepOptions, arg(name="")]),
        ("config", Annotated[task_config(task), arg(name="")]),
    ], frozen=True, namespace={"run": run})
    command.__doc__ = ("Train variants x seeds of a task and compare them: a table with 95 % intervals over seeds.\n\n"
                       "Each trial is a run, OUT/VARIANT/seed-K. Run again, what is done stays and the rest goes on.")
    return command

