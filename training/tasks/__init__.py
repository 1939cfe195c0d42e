"""Tasks by name. To add one: a file in this folder, a line here, and a line in heed.py for its command."""

from __future__ import annotations

from importlib import import_module
from typing import Any

TASKS = {
    "matching": "training.tasks.matching:MatchingConfig",
    "detection": "training.tasks.detection:DetectionConfig",
}
"""Name -> the task's configuration, a dataclass with ``run`` (train) and ``build`` (the task, for predicting)."""


def task_config(name: str) -> Any:
    """The configuration class of the task called ``name``."""
    module, _, attribute = TASKS[name].partition(":")
    return getattr(import_module(module), attribute)
