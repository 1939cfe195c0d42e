"""A run of heed's own pre-training as a subject: its vocabulary, its best weights, and which network they are of.

    RUN/config.json             the run's options, with "task": "pretraining"
    RUN/network.json            {"family": "uniter", "num_attention_heads": 4}: what the weights' shapes do not say
    RUN/vocab.txt               word pieces, with tokenizer_config.json beside them
    RUN/checkpoints/best.pt     weights, named as the family's published ones

Light to import: torch comes when a run is loaded.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import HeedError

if TYPE_CHECKING:
    from evaluation.subjects.subject import Subject

FAMILIES = {"one": "uniter", "two": "lxmert"}
"""Streams of a model that is trained here -> the family whose network it is."""
NETWORK = "network.json"


def note_network(run: Path, streams: str, heads: int) -> None:
    """Write RUN/network.json."""
    from pipeline.atomic import write_json

    run.mkdir(parents=True, exist_ok=True)
    write_json(run / NETWORK, {"family": FAMILIES[streams], "num_attention_heads": heads})


def is_run(path: Path) -> bool:
    """Whether this is the folder of a run of any of heed's tasks."""
    return "task" in _object(path / "config.json")


def load_run(run: Path, random: bool = False, vocabulary: str | Path | None = None, seed: int = 0) -> Subject:
    """The best weights of a pre-training run, or with ``random`` a network of their sizes that has learnt nothing.

    Raises `HeedError` for a run of another task, and where the run has not been validated yet.
    """
    from evaluation.subjects import SUBJECTS
    from evaluation.subjects.loading import subject, tidy
    from features.weights import read_weights

    task = _object(run / "config.json")["task"]
    said = _object(run / NETWORK)
    if task != "pretraining" or said.get("family") not in SUBJECTS:
        raise HeedError(f"{run} is a run of {task}, no subject: runs of pretraining are (heed train pretraining).")
    weights = run / "checkpoints" / "best.pt"
    if not weights.is_file():
        raise HeedError(f"{run} has no weights yet ({weights}): they come with the first validation, behind an epoch.")
    family = import_module(SUBJECTS[said["family"]]).FAMILY
    tensors = tidy(family, read_weights(weights).tensors, str(run))
    return subject(family, str(run), family.configure(tensors, said), tensors, run, random, vocabulary, seed)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
