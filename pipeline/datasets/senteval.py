"""Read SentEval's probing files (Conneau et al. 2018, "What you can cram into a single vector").

    tr<TAB>NNS<TAB>The two paintings are especially eye - catching .

The splits are called tr, va and te; the ten tasks and their published files' names are in `TASKS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.errors import HeedError

TASKS = {
    "sentence_length": "Length",
    "word_content": "WordContent",
    "tree_depth": "Depth",
    "top_constituents": "TopConstituents",
    "bigram_shift": "BigramShift",
    "past_present": "Tense",
    "subj_number": "SubjNumber",
    "obj_number": "ObjNumber",
    "odd_man_out": "OddManOut",
    "coordination_inversion": "CoordinationInversion",
}
"""A published file's name without .txt -> the task's name in SentEval. VALUE leaves word_content out."""

SPLITS = {"tr": "train", "va": "val", "te": "test"}


@dataclass(frozen=True)
class LabelledSentence:
    """One line."""

    split: str
    """"train", "val" or "test"."""
    label: str
    text: str


def files(folder: str | Path) -> dict[str, Path]:
    """Task -> file, of those of the ten that a folder has, in the order of `TASKS`; raises `HeedError` for none."""
    folder = Path(folder)
    found = {task: folder / f"{task}.txt" for task in TASKS if (folder / f"{task}.txt").is_file()}
    if not found:
        names = ", ".join(f"{task}.txt" for task in TASKS)
        raise HeedError(f"{folder} has none of SentEval's probing files ({names}).")
    return found


def read(path: str | Path) -> list[LabelledSentence]:
    """A file's lines in order; raises `HeedError` naming a line that is not in the format."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise HeedError(f"{path} cannot be read as sentences: {error}.") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.rstrip("\r").split("\t")
        if len(parts) != 3 or parts[0] not in SPLITS or not parts[1] or not parts[2].strip():
            raise HeedError(f"Line {number} of {path} is not 'tr, va or te; label; sentence' between tabs: "
                            f"{line[:60]!r}.")
        found.append(LabelledSentence(SPLITS[parts[0]], parts[1], parts[2].strip()))
    return found
