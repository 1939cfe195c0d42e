"""The loop: any task, from its first step or from where it was stopped, to its last.

A run's state is the model, its average, the optimisers, the random generators and one integer, the step; batches follow
from it. So a run stopped in mid-epoch and gone on with gives, on a CPU, the very weights of one never stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from features.errors import HeedError
from pipeline.progress import JobProgress
from training.config import LoopConfig
from training.optimisers import set_rate
from training.run import Run
from training.schedule import learning_rate
from training.state import State
from training.task import Task, UpdatesItself

LOG_EVERY = 10
"""Steps between two logged training losses."""


def train(task: Task, config: LoopConfig, run: Run) -> dict[str, float]:
    """Train ``task`` to the end of ``config.epochs``, or until it stops improving; gives the best validation's figures.

    Goes on from the run's last checkpoint where it has one.
    """
    device = next(task.model.parameters()).device
    state = State(task, config, run)
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
                set_rate(state.optimisers, rate)
                with autocast:
                    if isinstance(task, UpdatesItself):
                        loss, figures = task.update(group, state.optimisers, rate)
                        _check(loss)
                    else:
                        loss, figures = _update(task, group, state.optimisers, config.clip)
                state.took_step(loss)
                if state.step % LOG_EVERY == 0 or state.step % per_epoch == 0:
                    logged = {"loss": state.mean_loss(), "lr": rate, **figures}
                    run.log(step=state.step, epoch=epoch, split="train", **logged)
                    _write(writer, "train", logged, state.step)
                if config.checkpoint_every and state.step % config.checkpoint_every == 0 and state.step % per_epoch:
                    state.save()
                progress.update(state.step, f"loss {loss:.4f}, {task.monitor} {state.best:.4g}" if state.best > -1e30
                                else f"loss {loss:.4f}")
            if (epoch + 1) % config.validate_every == 0 or state.step == total:
                figures = state.validate()
                run.log(step=state.step, epoch=epoch, split="val", **figures)
                _write(writer, "val", figures, state.step)
            state.save()
    return state.best_figures


def _update(
    task: Task, group: list[Any], optimisers: Mapping[str, Optimizer], clip: float
) -> tuple[float, dict[str, float]]:
    for optimiser in optimisers.values():
        optimiser.zero_grad(set_to_none=True)
    losses = []
    figures: dict[str, float] = {}
    for batch in group:
        loss, figures = task.step(batch)
        _backward(loss / len(group))
        losses.append(float(loss.detach()))
    mean = sum(losses) / len(losses)
    _check(mean)
    if clip:
        nn.utils.clip_grad_norm_(task.model.parameters(), clip)
    for optimiser in optimisers.values():
        optimiser.step()
    return mean, figures


def _backward(loss: Tensor) -> None:
    with torch.autocast(loss.device.type, enabled=False):
        loss.backward()


def _check(loss: float) -> None:
    if loss != loss or abs(loss) == float("inf"):
        raise HeedError(f"The loss is {loss}: training has diverged. Lower --lr or --clip, or raise --warmup.")


def _bf16(config: LoopConfig, device: torch.device) -> bool:
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bf16"


def _tensorboard(run: Run, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run.path / "tensorboard"), purge_step=step)


def _write(writer: Any, split: str, figures: dict[str, float], step: int) -> None:
    for name, value in figures.items():
        writer.add_scalar(f"{split}/{name}", value, step)
