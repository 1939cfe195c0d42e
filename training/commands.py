"""What the command line does with a task: train it and test it, or predict from a run. Light to import."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional


def train_and_test(task_name: str, config: Any) -> int:
    """Train a task in its run folder, then write the test split's predictions, its truth and its evaluation there.

    ``config`` is one of `training.tasks.TASKS`. Whatever is already there is not done again.
    """
    from pipeline.store import Store
    from training import checkpoint
    from training.loop import train
    from training.run import RunFolder

    fingerprints = {name: Store.open(path).fingerprint() for name, path in config.stores().items()}
    run = RunFolder.begin(config.out, task_name, config, fingerprints)
    task = config.build()
    parameters = sum(p.numel() for p in task.model.parameters())
    print(f"{config.out}: {task_name}, {parameters / 1e6:.2f} M parameters, {task.steps_per_epoch} batches an epoch.")
    if missing := getattr(task, "missing", ()):
        print(f"{len(missing)} captioned images are not in the store and are left out, for example {missing[0]!r}.")
    best = train(task, config.loop, run)
    print("Best validation: " + ", ".join(f"{name} {value:.4g}" for name, value in best.items()))
    task.model.load_state_dict(checkpoint.load(run.checkpoints / "best.pt", str(config.loop.device))["model"])
    predictions = run.path / "predictions" / "test.arrow"
    predictions.parent.mkdir(exist_ok=True)
    task.predict("test", predictions)
    config.evaluate("test", predictions)
    return 0


@dataclass(frozen=True)
class Predict:
    """Write the predictions of a trained run for a split, in the task's predictions format."""

    # Folder of the run.
    run: Positional[Path]
    # The file to write.
    out: Path
    # train, val or test.
    split: str = "test"
    # Which weights: the best validated, or the last.
    checkpoint: Literal["best", "last"] = "best"
