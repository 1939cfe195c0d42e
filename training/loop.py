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
from training import workers
from training.config import LoopConfig
from training.journal import Journal
from training.optimisers import set_rate
from training.run import Run
from training.schedule import learning_rate
from training.state import State
from training.task import SharesBatches, Task, UpdatesItself

LOG_EVERY = 10
"""Steps between two logged training losses."""


def train(task: Task, config: LoopConfig, run: Run) -> dict[str, float]:
    """Train ``task`` to the end of ``config.epochs``, or until it stops improving; gives the best validation's figures.

    Goes on from the run's last checkpoint where it has one. Called by each of several workers (`training.workers`), it
    trains as one; only the first validates and writes.
    """
    device = next(task.model.parameters()).device
    _check_sharing(task)
    state = State(task, config, run)
    per_epoch = -(-task.steps_per_epoch // config.accumulate)
    total = per_epoch * config.epochs
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=_bf16(config, device))
    with Journal(run, state.step, total) as journal:
        while state.step < total and not state.finished:
            epoch = state.step // per_epoch
            batches = task.batches(epoch, state.step % per_epoch * config.accumulate)
            task.model.train()
            while group := list(islice(batches, config.accumulate)):
                rate = learning_rate(config, state.step, total)
                set_rate(state.optimisers, rate)
                with autocast:
                    if isinstance(task, UpdatesItself):
                        (loss, figures), weight = task.update(group, state.optimisers, rate), 1.0
                        _check(loss)
                    else:
                        loss, figures, weight = _update(task, group, state.optimisers, config.clip)
                state.took_step(loss)
                if state.step % LOG_EVERY == 0 or state.step % per_epoch == 0:
                    figures = workers.mean_figures(figures, weight)
                    journal.log("train", state.step, epoch, {"loss": state.mean_loss(), "lr": rate, **figures})
                if config.checkpoint_every and state.step % config.checkpoint_every == 0 and state.step % per_epoch:
                    state.save()
                best = f", {task.monitor} {state.best:.4g}" if state.best_figures else ""
                journal.progress(state.step, f"loss {loss:.4f}{best}")
            if (epoch + 1) % config.validate_every == 0 or state.step == total:
                journal.log("val", state.step, epoch, state.validate())
            state.save()
        if not total and not state.best_figures:  # weights that somebody else has trained, to be judged
            journal.log("val", 0, 0, state.validate())
            state.save()
    return state.best_figures


def _update(
    task: Task, group: list[Any], optimisers: Mapping[str, Optimizer], clip: float
) -> tuple[float, dict[str, float], float]:
    """One step of all optimisers: its loss over all workers, and the last batch's figures and weight on this one."""
    for optimiser in optimisers.values():
        optimiser.zero_grad(set_to_none=True)
    losses = []
    figures: dict[str, float] = {}
    weight = 1.0
    for batch in group:
        weight = task.weight(batch) if workers.world() > 1 and isinstance(task, SharesBatches) else 1.0
        if weight:
            loss, figures = task.step(batch)
        else:  # of an epoch's last batch there may be nothing left for a worker
            loss, figures = torch.zeros((), device=next(task.model.parameters()).device, requires_grad=True), {}
        term, value = workers.shared(loss, weight)
        _backward(term / len(group))
        losses.append(value)
    mean = sum(losses) / len(losses)
    _check(mean)
    workers.sum_gradients(task.model.parameters())
    if clip:
        nn.utils.clip_grad_norm_(task.model.parameters(), clip)
    for optimiser in optimisers.values():
        optimiser.step()
    workers.copy_from_first(task.model.buffers())
    return mean, figures, weight


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


def _check_sharing(task: Task) -> None:
    if workers.world() > 1 and (isinstance(task, UpdatesItself) or not isinstance(task, SharesBatches)):
        raise HeedError(f"{type(task).__name__} trains on one worker only: leave --workers at 1, without torchrun. "
                        "(docs/training.md tells what a task needs for several.)")
