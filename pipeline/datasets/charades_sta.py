"""Read Charades-STA (Gao et al. 2017): lines "VIDEO START END##a sentence.", seconds; durations are not in the file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Moment

_LINE = re.compile(r"(\S+) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)##(.*)")


def recognises(path: Path) -> bool:
    """Whether this is a text file whose first line is in the format."""
    if path.suffix != ".txt" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return _LINE.match(file.readline(10_000)) is not None


def read(path: Path, split: str | None = None) -> list[Moment]:
    """The file's moments in order; ids are line numbers, from 1. ``split`` says nothing: a file is one split.

    A window that is written backwards is turned round: there are some in the published training file. Raises
    `HeedError` naming a line that is not in the format.
    """
    moments = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        found = _LINE.fullmatch(line.rstrip())
        if found:
            window = sorted((float(found[2]), float(found[3])))
            moments.append(Moment(str(number), found[1], found[4].strip(), np.array([window], np.float32)))
        elif line.strip():
            raise HeedError(f"Line {number} of {path} is not 'VIDEO START END##sentence': {line[:60]!r}.")
    return moments
