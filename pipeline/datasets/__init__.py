"""Datasets' annotations by name. To add one: a file in this folder and a line here.

A module has ``recognises(path) -> bool``, by a look at names and first lines only, and
``read(path, split=None, holdout=0.2) -> list[Caption]``, with options of its own behind those where it has any; one of
moments or questions has ``read(path, split=None) -> list[Moment]`` or ``list[Question]``.
"""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.annotations import Caption, Descriptions, Moment, Question, Relations, TextQuestion

DATASETS = {
    "scenes": "pipeline.datasets.scenes",
    "scenes-videos": "pipeline.datasets.scenes_videos",
    "flickr30k-entities": "pipeline.datasets.flickr30k_entities",
    "visual-genome": "pipeline.datasets.visual_genome",
    "scan-precomp": "pipeline.datasets.scan_precomp",
    "msrvtt": "pipeline.datasets.msrvtt",
    "karpathy": "pipeline.datasets.karpathy",
    "coco-captions": "pipeline.datasets.coco_captions",
}
"""Name on the command line -> module."""

VIDEO_DATASETS = ("scenes-videos", "msrvtt", "coco-captions")
"""Those of them that caption videos; of a scenes folder that has pictures too, its videos are meant."""

MOMENT_DATASETS = {
    "scenes": "pipeline.datasets.scenes_moments",
    "qvhighlights": "pipeline.datasets.qvhighlights",
    "charades-sta": "pipeline.datasets.charades_sta",
    "tacos": "pipeline.datasets.tacos",
    "didemo": "pipeline.datasets.didemo",
}
"""The same for sentences about moments of videos."""

DESCRIPTION_DATASETS = {
    "scenes": "pipeline.datasets.scenes_videos",
    "mad": "pipeline.datasets.mad",
}
"""The same for films' running descriptions."""

RELATION_DATASETS = {
    "scenes": "pipeline.datasets.scenes",
    "visual-genome": "pipeline.datasets.visual_genome",
    "coco-instances": "pipeline.datasets.coco_instances",
}
"""The same for annotated boxes and the relations between them, ``read_relations`` instead of ``read``."""

QUESTION_DATASETS = {
    "scenes": "pipeline.datasets.scenes_questions",
    "clevr": "pipeline.datasets.clevr",
    "vqa": "pipeline.datasets.vqa",
}
"""The same for questions about images."""

TEXT_DATASETS = {
    "scenes": "pipeline.datasets.scenes",
    "textvqa-imdb": "pipeline.datasets.textvqa_imdb",
}
"""The same for questions about images with words in them."""


def read_captions(
    path: str | Path, split: str | None = None, format: str | None = None, holdout: float = 0.2, **options: Any,
) -> list[Caption]:
    """Read the captions of one split ("train", "val", "test"; None for all) of a dataset's own published files.

    ``format`` is a name of `DATASETS`; without it the files say what they are. ``holdout`` is the fraction of images
    kept from training where the dataset itself has no splits. ``options`` are the format's own (``keys``, ``restval``
    of `pipeline.datasets.karpathy`). Raises `HeedError` for what is missing or not understood, and for an option that
    the format has not.
    """
    path = Path(path)
    if not path.exists():
        raise HeedError(f"There are no annotations at {path}: the path does not exist.")
    if split not in (None, "train", "val", "test"):
        raise HeedError(f"There is no split {split!r}; a dataset has train, val and test.")
    if format is not None and format not in DATASETS:
        near = difflib.get_close_matches(format, DATASETS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise HeedError(f"There is no dataset format {format!r}; heed reads {', '.join(DATASETS)}.{hint}")
    for name in DATASETS if format is None else (format,):
        module = import_module(DATASETS[name])
        if format or module.recognises(path):
            known = inspect.signature(module.read).parameters
            for option in options:
                if option not in known:
                    raise HeedError(f"{path} holds captions of format {name}, which has no option {option!r}.")
            return list(module.read(path, split, holdout, **options))
    raise HeedError(f"{path} is none of the annotations heed knows ({', '.join(DATASETS)}): "
                    "a scenes folder, Flickr30k Entities, Visual Genome, SCAN's folder, "
                    "MSR-VTT's, or a COCO captions .json, Karpathy's among them, is.")


def read_video_captions(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """Read the captions of videos, like `read_captions`, in one of the formats `VIDEO_DATASETS`."""
    path = Path(path)
    format = next((name for name in VIDEO_DATASETS
                   if path.exists() and import_module(DATASETS[name]).recognises(path)), None)
    if format is None and path.exists():
        raise HeedError(f"{path} has no captions of videos that heed knows ({', '.join(VIDEO_DATASETS)}).")
    return read_captions(path, split, format, holdout)


def read_moments(
    path: str | Path, split: str | None = None, format: str | None = None, holdout: float = 0.2
) -> list[Moment]:
    """Read the sentences about moments of videos, like `read_captions`.

    A folder has a file a split. A file is taken whole, or a part of its videos where ``split`` is given: half of
    ``holdout`` for test, half for val, the rest for train, by `pipeline.datasets.coco_captions.split_of`.
    """
    path = Path(path)
    if not path.exists():
        raise HeedError(f"There are no annotations at {path}: the path does not exist.")
    if split not in (None, "train", "val", "test"):
        raise HeedError(f"There is no split {split!r}; a dataset has train, val and test.")
    if format is None:
        format = next((name for name, module in MOMENT_DATASETS.items() if import_module(module).recognises(path)), "")
    if format not in MOMENT_DATASETS:
        raise HeedError(f"{path} is none of the annotations of moments that heed knows ({', '.join(MOMENT_DATASETS)}).")
    moments: list[Moment] = import_module(MOMENT_DATASETS[format]).read(path, split)
    if split is None or path.is_dir():
        return moments
    split_of = import_module("pipeline.datasets.coco_captions").split_of
    return [moment for moment in moments if split_of(moment.key, holdout) == split]


def read_descriptions(
    path: str | Path, split: str | None = None, format: str | None = None, splits: Path | None = None,
    holdout: float = 0.2,
) -> Descriptions:
    """Read films' running descriptions, like `read_captions`.

    ``splits`` is a file that says which film is of which split, AutoAD's mad_split.json; scenes have splits of their
    own. Of a single file ``split`` is a part of its films, as in `read_moments`.
    """
    path = Path(path)
    if not path.exists():
        raise HeedError(f"There are no descriptions at {path}: the path does not exist.")
    if split not in (None, "train", "val", "test"):
        raise HeedError(f"There is no split {split!r}; a dataset has train, val and test.")
    if format is None:
        format = next((name for name, module in DESCRIPTION_DATASETS.items()
                       if import_module(module).recognises(path)), "")
    if format not in DESCRIPTION_DATASETS:
        raise HeedError(f"{path} is none of the running descriptions that heed knows "
                        f"({', '.join(DESCRIPTION_DATASETS)}): a scenes folder with videos, or MAD's files, is.")
    module = import_module(DESCRIPTION_DATASETS[format])
    if format == "scenes":
        found = Descriptions(module.read_descriptions(path, split), [])
    else:
        found = module.read(path, split, splits)
        if split is not None and splits is None and not path.is_dir():
            split_of = import_module("pipeline.datasets.coco_captions").split_of
            found = Descriptions([one for one in found.rows if split_of(one.key, holdout) == split], found.notes)
    if not found.rows:
        raise HeedError(f"{path} has no descriptions{f' of the split {split}' if split else ''}.")
    return found


def read_relations(
    path: str | Path, split: str | None = None, format: str | None = None, holdout: float = 0.2
) -> list[Relations]:
    """Read the annotated boxes of images and the relations between them, like `read_captions`."""
    path = Path(path)
    if not path.exists():
        raise HeedError(f"There are no annotations at {path}: the path does not exist.")
    if format is None:
        format = next((name for name, module in RELATION_DATASETS.items()
                       if import_module(module).recognises(path)), "")
    if format not in RELATION_DATASETS:
        raise HeedError(f"{path} has no annotated boxes that heed knows ({', '.join(RELATION_DATASETS)}).")
    module = import_module(RELATION_DATASETS[format])
    found: list[Relations] = (module.read_relations(path, split) if format == "scenes"
                              else module.read_relations(path, split, holdout))
    return found


def read_questions(
    path: str | Path, split: str | None = None, format: str | None = None, ten_answers: bool = False
) -> list[Question]:
    """Read questions about images, like `read_captions`. Every dataset of questions has splits of its own.

    Answers of a split may be kept back (CLEVR's and VQA's test): its questions have none. ``ten_answers`` keeps, of
    scenes, the questions answered by yes, no or a colour.
    """
    path = Path(path)
    if not path.exists():
        raise HeedError(f"There are no questions at {path}: the path does not exist.")
    if split not in (None, "train", "val", "test"):
        raise HeedError(f"There is no split {split!r}; a dataset has train, val and test.")
    if format is None:
        known = (name for name, module in QUESTION_DATASETS.items() if import_module(module).recognises(path))
        format = next(known, "")
    if format not in QUESTION_DATASETS:
        near = difflib.get_close_matches(format, QUESTION_DATASETS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise HeedError(f"{path} is none of the questions that heed knows ({', '.join(QUESTION_DATASETS)}).{hint}")
    module = import_module(QUESTION_DATASETS[format])
    if not ten_answers:
        return list(module.read(path, split))
    if format != "scenes":
        raise HeedError("Only scenes have a set of questions with ten answers; leave --ten-answers out.")
    return list(module.read(path, split, ten_answers=True))


def read_text_questions(path: str | Path, split: str | None = None, format: str | None = None) -> list[TextQuestion]:
    """Read the questions of one split about images with words in them, like `read_captions`."""
    path = Path(path)
    if not path.exists():
        raise HeedError(f"There are no annotations at {path}: the path does not exist.")
    if split not in (None, "train", "val", "test"):
        raise HeedError(f"There is no split {split!r}; a dataset has train, val and test.")
    if format is None:
        format = next((name for name, module in TEXT_DATASETS.items() if import_module(module).recognises(path)), "")
    if format == "scenes":
        return list(import_module(TEXT_DATASETS[format]).read_text_questions(path, split))
    if format not in TEXT_DATASETS:
        raise HeedError(f"{path} is none of the questions about words in images that heed knows "
                        f"({', '.join(TEXT_DATASETS)}).")
    return list(import_module(TEXT_DATASETS[format]).read(path, split))
