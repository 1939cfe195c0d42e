"""What a task is to the loop: a model, batches, a step and a validation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn


class Task(Protocol):
    """One task, built from its configuration; the loop (`training.loop`) drives it and knows nothing else of it."""

    model: nn.Module
    """Already on its device; its parameters are all the loop saves, beside the optimiser's."""
    monitor: str
    """The validation figure that says which checkpoint is best; higher is better."""
    steps_per_epoch: int
    """Number of batches `batches` gives for one epoch."""

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Batches ``first``, ``first`` + 1, … of an epoch: a pure function of (seed, epoch, step)."""
        ...

    def step(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss to differentiate, a scalar, and figures to log beside it."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on the validation split, computed with the model in eval mode and without gradients."""
        ...

    def predict(self, split: str, out: Path) -> None:
        """Write the predictions of a split in the task's predictions format (`evaluation.predictions`)."""
        ...
