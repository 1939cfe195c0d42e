"""Models under study by name. To add one: a file in this folder with a FAMILY, and a line here.

A name is FAMILY:PLACE, PLACE a weights file, a folder in Hugging Face's layout, or a name of the Hub.
FAMILY:SIZE=random has a published size with random weights, FAMILY:PLACE=random the sizes of existing ones.
The folder of a run of heed's own pre-training is a name too, and so is FOLDER=random.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import HeedError

if TYPE_CHECKING:
    from evaluation.subjects.subject import Subject

SUBJECTS = {
    "uniter": "evaluation.subjects.uniter",
    "lxmert": "evaluation.subjects.lxmert",
    "vilbert": "evaluation.subjects.vilbert",
    "visualbert": "evaluation.subjects.visualbert",
    "volta": "evaluation.subjects.volta",
}
"""Family -> module with a ``FAMILY``."""


def load_subject(name: str, vocabulary: str | Path | None = None, seed: int = 0,
                 features: int | None = None) -> Subject:
    """Load the subject called ``name``.

    ``vocabulary`` is BERT's vocab.txt or its folder, needed where the weights' folder has none; ``seed`` is for random
    weights, as is ``features``, the length of region features that they are to read (default: as published). Raises
    `HeedError` where there is no such model, its weights cannot be had or do not fit.
    """
    from evaluation.subjects.runs import is_run, load_run

    if is_run(run := Path(name.removesuffix("=random"))):
        return load_run(run, name.endswith("=random"), vocabulary, seed)
    family, colon, rest = name.partition(":")
    if not colon or family not in SUBJECTS:
        near = difflib.get_close_matches(family, SUBJECTS, 1) or list(SUBJECTS)[:1]
        raise HeedError(f"There is no subject {name!r}: it is given as FAMILY:PLACE, FAMILY one of "
                        f"{', '.join(SUBJECTS)}, for example {near[0]}:{rest or 'FOLDER'}; or as the folder of a run.")
    place, _, kind = rest.partition("=")
    if kind not in ("", "random") or not place:
        raise HeedError(f"The subject {name!r} is not understood: write {family}:PLACE or {family}:base=random.")
    from evaluation.subjects.loading import load

    return load(import_module(SUBJECTS[family]).FAMILY, place, kind == "random", vocabulary, seed, features)


__all__ = ["SUBJECTS", "load_subject"]
