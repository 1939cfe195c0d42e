"""Probes by name. To add one: a file in this folder with the names of `evaluation.probes.study.Probe`, and a line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

from features.errors import HeedError

if TYPE_CHECKING:
    from evaluation.probes.study import Probe

PROBES = {
    "fusion": "evaluation.probes.fusion",
    "importance": "evaluation.probes.importance",
    "cross-modal-heads": "evaluation.probes.cross_modal_heads",
    "coreference-heads": "evaluation.probes.coreference_heads",
    "coreference-attention": "evaluation.probes.coreference_attention",
    "coreference-states": "evaluation.probes.coreference_states",
    "relations-attention": "evaluation.probes.relations_attention",
    "relations-states": "evaluation.probes.relations_states",
    "linguistic": "evaluation.probes.linguistic",
    "patterns": "evaluation.probes.patterns",
    "ablation": "evaluation.probes.ablation",
    "modality-ablation": "evaluation.probes.modality_ablation",
    "faithfulness": "evaluation.probes.faithful",
    "shapley": "evaluation.probes.shapley",
    "foils": "evaluation.probes.foils",
}
"""Name on the command line -> module."""


def load_probe(name: str) -> Probe:
    """The probe's module; `HeedError` with the nearest name if there is none."""
    if name not in PROBES:
        near = difflib.get_close_matches(name, PROBES, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise HeedError(f"There is no probe {name!r}; heed has {', '.join(PROBES)}.{hint}")
    return cast("Probe", import_module(PROBES[name]))


def chosen(names: Sequence[str]) -> list[str]:
    """The probes that the command line names, in the order of the registry; "all" is every one."""
    for name in names:
        if name != "all":
            load_probe(name)
    return [name for name in PROBES if "all" in names or name in names]
