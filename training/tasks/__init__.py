"""Tasks by name. To add one: a file in this folder, a line here, and a line in heed.py for its command."""

from __future__ import annotations

from importlib import import_module
from typing import Any

TASKS = {
    "matching": "training.tasks.matching:MatchingConfig",
    "pretraining": "training.tasks.pretraining:PretrainingConfig",
    "vqa": "training.tasks.vqa:VqaConfig",
    "text-vqa": "training.tasks.text_vqa:TextVqaConfig",
    "detection": "training.tasks.detection:DetectionConfig",
    "classification": "training.tasks.classification:ClassificationConfig",
    "generation": "training.tasks.generation:GenerationConfig",
    "damsm": "training.tasks.damsm:DamsmConfig",
    "captioning": "training.tasks.captioning:CaptioningConfig",
    "moments": "training.tasks.moments:MomentsConfig",
    "description": "training.tasks.description:DescriptionConfig",
}
"""Name -> the task's configuration, a dataclass that the command line reads.

It has ``out`` and ``loop``; ``run()`` trains and gives the exit status, ``build()`` the task, ``stores()`` the stores
it reads. ``suffix`` is the ending of a predictions file in the task's format (.arrow, .jsonl, .json), RUN/predictions/
SPLIT + suffix. ``keep_truth(split, predictions)`` writes what the split is judged by beside it, as
`evaluation.run_folder.truth_path` names it, and ``judge(split, predictions)`` prints and gives the figures, from those
two files.
"""


def task_config(name: str) -> Any:
    """The configuration class of the task called ``name``."""
    module, _, attribute = TASKS[name].partition(":")
    return getattr(import_module(module), attribute)
