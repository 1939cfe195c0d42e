"""What the command line does with a task: train it and test it, or predict from a run. Light to import."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from features.errors import HeedError
from pipeline.atomic import write_json


def train_and_test(task_name: str, config: Any) -> int:
    """Train a task in its run folder, then predict its test split and judge the predictions there; exit status 0.

    ``config`` is of one of `training.tasks.TASKS`. An interrupted run goes on where it stopped; of a finished one
    nothing is done again. Under torchrun this process is one of several workers; else ``config.loop.workers`` of them
    are started with Ray, where it asks for more than one or for a cluster.
    """
    import torch.distributed as dist

    from training.workers import joined

    if (config.loop.workers > 1 or config.loop.address) and not dist.is_torchelastic_launched():
        from training.ray_train import train_on_ray

        return train_on_ray(task_name, config)
    with joined(config.loop.workers, config.loop.device):
        return train_as_worker(task_name, config)


def train_as_worker(task_name: str, config: Any) -> int:
    """`train_and_test` in a process that has joined its fellow workers, or is alone."""
    from pipeline.store import Store
    from training.loop import train
    from training.run import Run
    from training.workers import first, first_worker_first

    with first_worker_first():
        fingerprints = {name: Store.open(path).fingerprint() for name, path in config.stores().items()}
        run = Run.begin(config.out, task_name, config, fingerprints)
        task = config.build()
    if first():
        parameters = sum(p.numel() for p in task.model.parameters())
        print(f"{config.out}: {task_name}, {parameters / 1e6:.2f} M parameters, {task.steps_per_epoch} batches an "
              "epoch.", flush=True)
        if missing := getattr(task, "missing", ()):
            print(f"{len(missing)} captioned images are not in the store and are left out, for example {missing[0]!r}.")
    best = train(task, config.loop, run)
    if not first():
        return 0
    print("Best validation: " + ", ".join(f"{name} {value:.4g}" for name, value in best.items()))
    if not (run.path / "evaluation" / "test.json").exists():
        load_weights(task, run.checkpoints / "best.pt")
        found = predict_and_judge(task, config, "test", run.path / "predictions" / f"test{config.suffix}")
        (run.path / "evaluation").mkdir(exist_ok=True)
        write_json(run.path / "evaluation" / "test.json", found)
    return 0


def predict_and_judge(task: Any, config: Any, split: str, out: Path) -> dict[str, Any]:
    """Write a split's predictions to ``out`` and the truth beside them; give the evaluation of the one by the other."""
    out.parent.mkdir(parents=True, exist_ok=True)
    task.predict(split, out)
    config.keep_truth(split, out)
    return config.judge(split, out)


def trained_task(run_folder: Path, checkpoint: Literal["best", "last"] = "best") -> tuple[Any, Any]:
    """The configuration of a run and its task, built, with trained weights; `HeedError` where the folder is no run."""
    from training.run import from_json
    from training.tasks import task_config

    path = run_folder / "config.json"
    if not path.exists():
        raise HeedError(f"{run_folder} is no run: it has no config.json.")
    value = json.loads(path.read_text(encoding="utf-8"))
    config = from_json(task_config(value.pop("task")), value)
    task = config.build()
    load_weights(task, run_folder / "checkpoints" / f"{checkpoint}.pt")
    return config, task


def load_weights(task: Any, path: Path) -> None:
    """Put a checkpoint's validated weights into a task's model."""
    from training import checkpoint

    device = next(task.model.parameters()).device
    state = checkpoint.load(path, str(device))
    # last.pt has the weights as trained beside their average; best.pt has the validated ones alone.
    task.model.load_state_dict({**state["model"], **state.get("average", {})})


@dataclass(frozen=True)
class Predict:
    """Write the predictions of a trained run for a split, in the task's predictions format."""

    # Folder of the run.
    run_folder: Positional[Path]
    # The file to write.
    out: Path
    # train, val or test.
    split: str = "test"
    # Which weights: the best validated, or the last.
    checkpoint: Literal["best", "last"] = "best"

    def run(self) -> int:
        """Predict."""
        config, task = trained_task(self.run_folder, self.checkpoint)
        predict_and_judge(task, config, self.split, self.out)
        print(f"{self.out}: predictions of {self.run_folder} for split {self.split}.")
        return 0
