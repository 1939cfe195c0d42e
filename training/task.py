"""What a task is to the loop: a model, batches, a step and a validation; and what it may say beside that.

The optional parts are methods a task has or has not; the loop looks for them by name (`isinstance` of the protocols
below) and does the usual thing where they are absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from training.config import LoopConfig


class Task(Protocol):
    """One task, built from its configuration; the loop (`training.loop`) drives it and knows nothing else of it."""

    model: nn.Module
    """Already on its device; its parameters are all the loop saves, beside the optimisers'."""
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


@runtime_checkable
class GroupsParameters(Protocol):
    """Optional: parameters that learn at different rates, such as a pretrained backbone at a tenth."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """{"params": [parameters], "lr_scale": factor of the loop's rate} and optionally "weight_decay", each.

        A parameter in no group is not trained. Without this hook all that require a gradient are one group.
        """
        ...


@runtime_checkable
class MakesOptimisers(Protocol):
    """Optional: optimisers of the task's own, in place of the loop's one; the loop saves and restores them all."""

    def optimisers(self, config: LoopConfig) -> Mapping[str, Optimizer]:
        """Optimisers by name. A group's ``lr_scale``, 1 where it has none, scales the loop's rate for it."""
        ...


@runtime_checkable
class UpdatesItself(Protocol):
    """Optional: a training step of the task's own, where optimisers alternate, as in adversarial training."""

    def update(
        self, batches: Sequence[Any], optimisers: Mapping[str, Optimizer], rate: float
    ) -> tuple[float, dict[str, float]]:
        """Do all of one step, backward passes and optimisers' steps too; give the loss to log and figures beside it.

        ``batches`` are the step's micro-batches (one, unless ``config.accumulate`` asks for more), ``optimisers`` those
        of `MakesOptimisers`, whose rates are set already: ``rate`` times each group's ``lr_scale``. ``config.clip`` is
        the task's to apply. Called in train mode, under the loop's autocast.
        """
        ...


@runtime_checkable
class ChoosesAveraged(Protocol):
    """Optional: which parameters ``config.ema`` averages, such as a generator's and not its discriminators'."""

    def averaged(self) -> Iterable[str]:
        """Names in ``model.named_parameters()``. Without this hook: all that require a gradient."""
        ...


@runtime_checkable
class SharesBatches(Protocol):
    """Optional: what a task needs to train on several workers (`training.workers`).

    Its `batches` give this worker's share, as ``stream.epoch(epoch, workers.rank(), workers.world())`` does, and
    ``steps_per_epoch`` is the same for all. With one worker none of it matters.
    """

    def weight(self, batch: Any) -> float:
        """What the share's loss counts for in the mean over all workers' losses.

        For a mean over samples the number of the share's samples; 0 for an empty share, for which `step` is not called.
        For a loss that every worker computes over all samples (`workers.gather_rows`) always 1.
        """
        ...
