"""How a family of models keeps its weights: sizes, names, what is optional, what is left unread."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from features.errors import HeedError


@dataclass(frozen=True)
class Family:
    """One entry for each published model."""

    name: str
    build: Callable[[Any], nn.Module]
    """Config -> network, its parameters named as the published weights name them."""
    configure: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Any]
    """(renamed state dict, config.json beside it or {}) -> config."""
    sizes: dict[str, Any]
    """Published size -> config, for random weights."""
    hub: dict[str, str]
    """Short name -> repository of the Hub."""
    root: str
    """Prefix of the encoder's names; put in front of every name where a file holds the encoder alone."""
    renames: tuple[tuple[str, str], ...]
    """Regular expressions and replacements that bring other layouts' names to this one."""
    aside: tuple[str, ...]
    """Names of heads for tasks that no probe uses: known, and left unread."""
    optional: tuple[str, ...]
    """Heads that weights may lack."""
    tied: str
    """The word embeddings, which the word head's matrix repeats."""
    lower: bool
    """Whether its vocabulary is of lower-case words."""


def rows(tensors: Mapping[str, Tensor], name: str) -> int:
    """Length of a parameter's first axis; `HeedError` where it is absent."""
    return int(_parameter(tensors, name).shape[0])


def width_of(tensors: Mapping[str, Tensor], name: str) -> int:
    """Length of a parameter's last axis; `HeedError` where it is absent."""
    return int(_parameter(tensors, name).shape[-1])


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the highest number that the pattern's group finds among the names; 0 for none."""
    return 1 + max((int(found[1]) for name in tensors if (found := re.match(pattern, name))), default=-1)


def _parameter(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise HeedError(f"These weights lack the parameter {name!r}.")
    return tensors[name]
