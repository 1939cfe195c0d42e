"""Foils: captions beside others that are wrong in one thing, in SugarCrepe's and VALSE's files.

SugarCrepe (Hsieh et al. 2023): {"0": {"filename", "caption", "negative_caption"}, …}, a file a kind of change.
VALSE (Parcalabescu et al. 2022): {id: {"dataset", "image_file", "caption", "foil", "mturk": {"caption": n, …}}, …}, a
file a phenomenon; a row counts where at least two of three people took the caption and not the foil, as its authors do.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from features.errors import HeedError

PEOPLE = 2
"""Of VALSE's three, who must have found the caption right."""


@dataclass(frozen=True)
class Foil:
    """A right caption and a wrong one for one image."""

    id: str
    key: str
    """The image's file name."""
    caption: str
    foil: str
    phenomenon: str
    """What was changed: the file's name, such as replace_att, swap_obj, plurals, relations."""


def read_foils(path: str | Path) -> list[Foil]:
    """Read a file, or all .json and .json.gz files of a folder in the order of their names.

    Raises `HeedError` where there is none, or a file is in neither format.
    """
    path = Path(path)
    files = sorted(file for file in path.iterdir() if file.name.endswith((".json", ".json.gz"))) if path.is_dir() \
        else [path]
    found = [foil for file in files for foil in _file(file)]
    if not found:
        raise HeedError(f"{path} holds no foils.")
    return found


def _file(path: Path) -> list[Foil]:
    name = path.name.split(".")[0].removeprefix("sugarcrepe_").removeprefix("valse_")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = json.loads(content)
    except FileNotFoundError:
        raise HeedError(f"There is no file of foils {path}.") from None
    except (OSError, EOFError, ValueError) as error:
        raise HeedError(f"{path} is no JSON ({error}).") from None
    if not isinstance(rows, dict):
        raise HeedError(f"{path} is not a file of foils: it must hold an object of rows by id.")
    found = []
    for number, row in rows.items():
        try:
            one = _row(str(number), row, name)
        except (KeyError, TypeError, AttributeError) as error:
            raise HeedError(f"Row {number!r} of {path} is neither SugarCrepe's nor VALSE's: {error!r}.") from None
        if one is not None:
            found.append(one)
    return found


def _row(number: str, row: dict[str, Any], name: str) -> Foil | None:
    if "negative_caption" in row:
        return Foil(f"{name}/{number}", PurePosixPath(row["filename"]).name, row["caption"], row["negative_caption"],
                    name)
    people = row.get("mturk")
    if isinstance(people, dict) and int(people.get("caption", PEOPLE)) < PEOPLE:
        return None
    return Foil(f"{name}/{number}", PurePosixPath(row["image_file"]).name, row["caption"], row["foil"], name)
