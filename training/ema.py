"""An exponential moving average of a model's parameters, to validate and predict with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from features.errors import HeedError


class Average:
    """avg <- decay avg + (1 - decay) parameter, once a step; the first average is the parameters as they are.

    Buffers, such as a batch norm's statistics, are not averaged. With ``decay`` 0 there is no average: nothing is kept
    and `applied` leaves the model alone. ``names`` are in ``model.named_parameters()``; None is all that require a
    gradient. Raises `HeedError` for a decay outside [0, 1) and for a name the model has not.
    """

    def __init__(self, model: nn.Module, decay: float, names: Iterable[str] | None = None) -> None:
        if not 0 <= decay < 1:
            raise HeedError(f"--ema is a decay of at least 0 and less than 1, such as 0.999, not {decay}.")
        self.decay = decay
        self._parameters: dict[str, nn.Parameter] = {}
        if decay:
            known = dict(model.named_parameters())
            chosen = [n for n, p in known.items() if p.requires_grad] if names is None else list(names)
            if unknown := [name for name in chosen if name not in known]:
                raise HeedError(f"The task averages {unknown[0]!r}, but its model has no parameter of that name.")
            self._parameters = {name: known[name] for name in chosen}
        self.values = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        """The averages by their parameters' names."""

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters after a step."""
        if self.values:
            averages, parameters = list(self.values.values()), list(self._parameters.values())
            torch._foreach_mul_(averages, self.decay)
            torch._foreach_add_(averages, parameters, alpha=1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model has the averages for its parameters."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def load(self, values: dict[str, Tensor]) -> None:
        """Go on from saved averages. Raises `HeedError` where they are of other parameters."""
        if values.keys() != self.values.keys():
            differing = sorted(values.keys() ^ self.values.keys())
            raise HeedError(f"The checkpoint averages other parameters than the task does now: {differing[0]!r}.")
        for name, value in values.items():
            self.values[name].copy_(value)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            kept = parameter.clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(kept)
