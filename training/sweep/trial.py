"""One trial of a sweep, as an ordinary run, in whatever process it is given to."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import HeedError

LOG = "log.txt"
SHAPE = "test.concentration.json"


@dataclass(frozen=True)
class TrialOrder:
    """A trial as it is sent to another process: names and plain values."""

    name: str
    """VARIANT/seed-K."""
    task: str
    config: dict[str, Any]
    """`training.run.to_json` of the task's configuration, its paths absolute."""
    cores: int
    """Threads of torch. The same number everywhere, as sums in another order round otherwise."""
    faithfulness: bool
    """Measure it, too (`training.faithfulness`)."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    name: str
    seconds: float
    reason: str = ""
    """Why it failed, in one line; empty where it did not."""


def run_trial(order: TrialOrder) -> Outcome:
    """Train, test and judge one trial; what it prints goes to log.txt in its folder. Never raises but for Ctrl-C."""
    began = time.monotonic()
    reason = ""
    folder = Path(order.config["out"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log), \
            contextlib.redirect_stderr(log):
        try:
            _steps(order, folder)
        except HeedError as error:
            reason = str(error)
        except Exception as error:  # whatever goes wrong in one trial must not end the others
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
    return Outcome(order.name, time.monotonic() - began, " ".join(reason.split()))


def _steps(order: TrialOrder, folder: Path) -> None:
    import torch

    from training.run import from_json
    from training.tasks import task_config

    before = torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = str(order.cores)
    torch.set_num_threads(order.cores)
    try:
        config = from_json(task_config(order.task), order.config)
        if not (folder / "evaluation" / "test.json").exists() and (status := config.run()):
            raise HeedError(f"the run ended with status {status}; {folder / LOG} tells more")
        for measure in unmeasured(folder, order.faithfulness):
            measure(folder)
    finally:
        torch.set_num_threads(before)


def unmeasured(run: Path, faithfulness: bool) -> list[Callable[[Path], Any]]:
    """What is still to be measured of a trained run, beside its evaluation: functions that write into RUN/measures."""
    from evaluation.attention import has_attention
    from evaluation.run_folder import read_run
    from training.faithfulness import Faithfulness, measure_run

    wanted: dict[str, Callable[[Path], Any]] = {}
    predictions = read_run(run).predictions.get("test")
    if predictions and has_attention(predictions):
        wanted[SHAPE] = _write_shape
    if faithfulness:
        wanted["test.faithfulness.json"] = lambda run: measure_run(Faithfulness(run))
    return [measure for file, measure in wanted.items() if not (run / "measures" / file).exists()]


def _write_shape(run: Path) -> None:
    """Entropy and sparsity of the test split's attention."""
    from evaluation.attention import judge_attention, read_attention
    from evaluation.run_folder import read_run
    from pipeline.atomic import write_json

    kinds = judge_attention(read_attention(read_run(run).predictions["test"]))
    (run / "measures").mkdir(exist_ok=True)
    write_json(run / "measures" / SHAPE, {"concentration": {
        kind: {name: value.to_json() for name, value in figures.items()} for kind, figures in kinds.items()}})
