"""The optimisers of a run: the loop's one, over one group of parameters or the task's groups, or the task's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.optim import Optimizer

from features.errors import HeedError
from training.config import LoopConfig
from training.task import GroupsParameters, MakesOptimisers, Task


def build_optimisers(task: Task, config: LoopConfig) -> Mapping[str, Optimizer]:
    """Optimisers by name; "all" where the task makes none of its own. Raises `HeedError` where nothing is trained."""
    if isinstance(task, MakesOptimisers):
        return task.optimisers(config)
    if isinstance(task, GroupsParameters):
        groups = [group for group in task.parameter_groups() if len(group["params"])]
    else:
        groups = [{"params": [p for p in task.model.parameters() if p.requires_grad]}]
    if not any(group["params"] for group in groups):
        raise HeedError("No parameter of the model requires a gradient: there is nothing to train.")
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return {"all": kind(groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)}


def set_rate(optimisers: Mapping[str, Optimizer], rate: float) -> None:
    """Set every group's learning rate to ``rate`` times its ``lr_scale``, 1 where it has none."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
