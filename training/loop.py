"""The loop: any task, from its first step or from where it was stopped, to its last.

A run's state is the model, the optimiser, the random generators and one integer, the step; batches follow from it. So a
run stopped in mid-epoch and gone on with gives, on a CPU, the very weights of one never stopped.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from features.errors import HeedError
from pipeline.progress import JobProgress
from training import checkpoint
from training.config import LoopConfig
from training.run import Run
from training.schedule import learning_rate
from training.task import Task

LOG_EVERY = 10
"""Steps between two logged training losses."""


def train(task: Task, config: LoopConfig, run: Run) -> dict[str, float]:
    """Train ``task`` to the end of ``config.epochs``, or until it stops improving; gives the best validation's figures.

    Goes on from the run's last checkpoint where it has one.
    """
    device = next(task.model.parameters()).device
    state = _State(task, config, run)
    per_epoch = -(-task.steps_per_epoch // config.accumulate)
    total = per_epoch * config.epochs
    writer = _tensorboard(run, state.step)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=_bf16(config, device))
    with JobProgress(f"training {run.path.name}", total, "steps", state.step) as progress, writer:
        while state.step < total and not state.finished:
            epoch = state.step // per_epoch
            batches = task.batches(epoch, state.step % per_epoch * config.accumulate)
            task.model.train()
            while group := list(islice(batches, config.accumulate)):
                rate = learning_rate(config, state.step, total)
                with autocast:
                    loss, figures = _step(task, group, state.optimiser, rate, config.clip)
                state.step += 1
                state.seen(loss)
                if state.step % LOG_EVERY == 0 or state.step % per_epoch == 0:
                    logged = {"loss": state.mean_loss(), "lr": rate, **figures}
                    run.log(step=state.step, epoch=epoch, split="train", **logged)
                    _write(writer, "train", logged, state.step)
                if config.checkpoint_every and state.step % config.checkpoint_every == 0 and state.step % per_epoch:
                    state.save()
                progress.update(state.step, f"loss {loss:.4f}, {task.monitor} {state.best:.4g}" if state.best > -1e30
                                else f"loss {loss:.4f}")
            figures = _validate(task)
            run.log(step=state.step, epoch=epoch, split="val", **figures)
            _write(writer, "val", figures, state.step)
            state.validated(figures)
            state.save()
    return state.best_figures


def _step(
    task: Task, group: list[Any], optimiser: torch.optim.Optimizer, rate: float, clip: float
) -> tuple[float, dict[str, float]]:
    optimiser.zero_grad(set_to_none=True)
    losses = []
    figures: dict[str, float] = {}
    for batch in group:
        loss, figures = task.step(batch)
        _backward(loss / len(group))
        losses.append(float(loss.detach()))
    mean = sum(losses) / len(losses)
    if mean != mean or abs(mean) == float("inf"):
        raise HeedError(f"The loss is {mean}: training has diverged. Lower --lr or --clip, or raise --warmup.")
    for settings in optimiser.param_groups:
        settings["lr"] = rate
    if clip:
        nn.utils.clip_grad_norm_(task.model.parameters(), clip)
    optimiser.step()
    return mean, figures


def _backward(loss: Tensor) -> None:
    with torch.autocast(loss.device.type, enabled=False):
        loss.backward()


def _validate(task: Task) -> dict[str, float]:
    task.model.eval()
    with torch.no_grad():
        return task.validate()


def _bf16(config: LoopConfig, device: torch.device) -> bool:
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bf16"


class _State:
    """What a checkpoint holds."""

    def __init__(self, task: Task, config: LoopConfig, run: Run) -> None:
        self.task, self.config, self.run = task, config, run
        kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
        trainable = [p for p in task.model.parameters() if p.requires_grad]
        self.optimiser = kind(trainable, lr=config.lr, weight_decay=config.weight_decay)
        self.step = 0
        self.best = float("-inf")
        self.best_figures: dict[str, float] = {}
        self.stale = 0
        self._losses: list[float] = []
        if (run.checkpoints / "last.pt").exists():
            self._load()
        run.forget_after(self.step)

    @property
    def finished(self) -> bool:
        """Whether early stopping has struck."""
        return bool(self.config.patience) and self.stale >= self.config.patience

    def seen(self, loss: float) -> None:
        """Note a step's loss for the next logged mean."""
        self._losses.append(loss)

    def mean_loss(self) -> float:
        """Mean loss since it was last asked for."""
        mean = sum(self._losses) / len(self._losses)
        self._losses = []
        return mean

    def validated(self, figures: dict[str, float]) -> None:
        """Note a validation; keep the weights if they are the best so far."""
        if self.task.monitor not in figures:
            raise HeedError(f"The task monitors {self.task.monitor!r} but its validation gives {', '.join(figures)}.")
        self.stale += 1
        if figures[self.task.monitor] > self.best:
            self.best, self.best_figures, self.stale = figures[self.task.monitor], figures, 0
            weights = {"model": self.task.model.state_dict(), "step": self.step, "figures": figures}
            checkpoint.save(self.run.checkpoints / "best.pt", weights)

    def save(self) -> None:
        """Write last.pt."""
        checkpoint.save(self.run.checkpoints / "last.pt", {
            "step": self.step, "model": self.task.model.state_dict(), "optimiser": self.optimiser.state_dict(),
            "random": checkpoint.random_state(), "best": self.best, "best_figures": self.best_figures,
            "stale": self.stale, "losses": self._losses,
        })

    def _load(self) -> None:
        device = next(self.task.model.parameters()).device
        state = checkpoint.load(self.run.checkpoints / "last.pt", str(device))
        self.task.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        checkpoint.set_random_state(state["random"])
        self.step, self.best, self.best_figures = state["step"], state["best"], state["best_figures"]
        self.stale, self._losses = state["stale"], state["losses"]


def _tensorboard(run: Run, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run.path / "tensorboard"), purge_step=step)


def _write(writer: Any, split: str, figures: dict[str, float], step: int) -> None:
    for name, value in figures.items():
        writer.add_scalar(f"{split}/{name}", value, step)
