"""The state of a run: what its checkpoints hold, and what is remembered of its validations."""

from __future__ import annotations

import numpy as np
import torch

from features.errors import HeedError
from pipeline.sampler import epoch_hashes
from training import checkpoint, workers
from training.config import LoopConfig
from training.ema import Average
from training.optimisers import build_optimisers
from training.run import Run
from training.task import ChoosesAveraged, Task


class State:
    """A task's state in a run, at the run's last checkpoint or, where there is none, at its beginning.

    Every one of several workers has it whole; the first writes it. last.pt holds all of it; best.pt the weights that
    were validated, averaged ones where the run averages.
    """

    def __init__(self, task: Task, config: LoopConfig, run: Run) -> None:
        self.task, self.config, self.run = task, config, run
        self.optimisers = build_optimisers(task, config)
        self.average = Average(task.model, config.ema, task.averaged() if isinstance(task, ChoosesAveraged) else None)
        self.step = 0
        self.best = float("-inf")
        self.best_figures: dict[str, float] = {}
        self.stale = 0
        self._losses: list[float] = []
        if (run.checkpoints / "last.pt").exists():
            self._load()
        else:
            workers.copy_from_first(task.model.state_dict().values())
            _own_random_state(config.seed, 0)
        if workers.first():
            run.forget_after(self.step)

    @property
    def finished(self) -> bool:
        """Whether early stopping has struck."""
        return bool(self.config.patience) and self.stale >= self.config.patience

    def took_step(self, loss: float) -> None:
        """Note a step: count it, average the weights it gave, and keep its loss for the next logged mean."""
        self.step += 1
        self.average.update()
        self._losses.append(loss)

    def mean_loss(self) -> float:
        """Mean loss since it was last asked for."""
        mean = sum(self._losses) / len(self._losses)
        self._losses = []
        return mean

    def validate(self) -> dict[str, float]:
        """Validate with the averaged weights; keep them in best.pt if they are the best so far."""
        self.task.model.eval()
        with self.average.applied():
            figures = {}
            if workers.first():
                with torch.no_grad():
                    figures = self.task.validate()
            figures = workers.gather_json(figures)[0]
            if self.task.monitor not in figures:
                raise HeedError(f"The task monitors {self.task.monitor!r} but its validation gives "
                                f"{', '.join(figures)}.")
            self.stale += 1
            if figures[self.task.monitor] > self.best:
                self.best, self.best_figures, self.stale = figures[self.task.monitor], figures, 0
                weights = {"model": self.task.model.state_dict(), "step": self.step, "figures": figures}
                if workers.first():
                    checkpoint.save(self.run.checkpoints / "best.pt", weights)
        return figures

    def save(self) -> None:
        """Write last.pt."""
        random = checkpoint.random_states()
        if workers.first():
            checkpoint.save(self.run.checkpoints / "last.pt", {
                "step": self.step, "model": self.task.model.state_dict(), "average": self.average.values,
                "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
                "random": random, "best": self.best, "best_figures": self.best_figures,
                "stale": self.stale, "losses": self._losses,
            })

    def _load(self) -> None:
        device = next(self.task.model.parameters()).device
        state = checkpoint.load(self.run.checkpoints / "last.pt", str(device))
        self.task.model.load_state_dict(state["model"])
        self.average.load(state["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        if len(state["random"]) == workers.world():
            checkpoint.set_random_state(state["random"][workers.rank()])
        else:
            _own_random_state(self.config.seed, state["step"])
        self.step, self.best, self.best_figures = state["step"], state["best"], state["best_figures"]
        self.stale, self._losses = state["stale"], state["losses"]


def _own_random_state(seed: int, step: int) -> None:
    """Let each of several workers draw other numbers, for dropout; one alone goes on with those it has."""
    if workers.world() > 1:
        torch.manual_seed(int(epoch_hashes(seed, step, np.array([workers.rank()]))[0] >> np.uint64(1)))
