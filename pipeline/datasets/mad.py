"""Read MAD (Soldan et al. 2022, arXiv 2112.00431): audio descriptions of films, with when they are spoken.

    {"0": {"movie": "10142", "sentence": "…", "movie_duration": 6402.1, "ext_timestamps": [61.2, 64.9], …}, …}

A file a split, MAD_train.json, MAD_val.json and MAD_test.json; the films of a split are the file's, or those that
AutoAD's ``mad_split.json`` names (Han et al. 2023; TRAIN of 488 films, V1-VAL of 50, EVAL of 10), whatever file a
sentence stands in. MAD-v2 has times before the film's start (TengdaHan/AutoAD issue 7, not answered): a description is
cut to its film, as MAD's own loader does, and as there one that does not end after it starts is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.annotations import Description, Descriptions

SPLITS = {"train": "TRAIN", "val": "V1-VAL", "test": "EVAL"}
"""Our names of splits -> those of AutoAD's file."""


def recognises(path: Path) -> bool:
    """Whether this is a folder with MAD_*.json, or a .json that begins with a film's sentence."""
    if path.is_dir():
        return any(path.glob("MAD_*.json"))
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(2_000)
    return b'"movie"' in head and b'"sentence"' in head


def read(path: Path, split: str | None = None, splits: Path | None = None) -> Descriptions:
    """The descriptions of a split, film by film and in order of time, and what was mended.

    ``splits`` is AutoAD's file; without it a folder has a file a split, and a single file is taken whole
    (`pipeline.datasets.read_descriptions` then takes a part of its films). Raises `HeedError` where a file is missing
    or an entry is not in the format.
    """
    films = None if splits is None or split is None else _films(splits, SPLITS[split])
    found: dict[str, list[Description]] = {}
    counts = {"cut": 0, "reversed": 0, "outside": 0}
    for file in _files(path, split if films is None else None):
        for number, entry in _entries(file):
            try:
                movie, text = str(entry["movie"]), str(entry["sentence"]).strip()
                start, end = (float(x) for x in entry.get("ext_timestamps") or entry["timestamps"])
                duration = float(entry.get("movie_duration") or float("inf"))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise HeedError(f"{file} is not in MAD's format, at {number!r}: {error!r}.") from None
            if films is not None and movie not in films:
                continue
            if not start < end:  # not NaN either
                counts["reversed"] += 1
                continue
            inside = max(0.0, start), min(end, duration)
            if inside[0] >= inside[1]:
                counts["outside"] += 1
                continue
            counts["cut"] += inside != (start, end)
            found.setdefault(movie, []).append(Description(str(number), movie, text, *inside))
    rows = [one for film in found.values() for one in sorted(film, key=lambda one: (one.start, one.end))]
    return Descriptions(rows, _notes(path, counts))


def _notes(path: Path, counts: dict[str, int]) -> list[str]:
    said = {"cut": "begin before their film or end behind it, and are cut to it",
            "reversed": "do not end after they start, and are left out",
            "outside": "lie wholly outside of their film, and are left out"}
    return [f"{counts[kind]:,} descriptions of {path} {words}" for kind, words in said.items() if counts[kind]]


def _files(path: Path, split: str | None) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("MAD_*.json"))
    if split is None:
        return files
    chosen = [file for file in files if split in file.stem.lower().split("_")]
    if not chosen:
        raise HeedError(f"{path} holds no MAD_{split}.json; it has {', '.join(file.name for file in files)}. With "
                        "AutoAD's mad_split.json (--splits) films are chosen from all of them.")
    return chosen


def _entries(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HeedError(f"{file} cannot be read as JSON: {error}.") from None
    if not isinstance(entries, dict):
        raise HeedError(f"{file} is not in MAD's format: an object of sentences by their ids is expected.")
    yield from entries.items()


def _films(path: Path, name: str) -> set[str]:
    try:
        return {str(film) for film in json.loads(path.read_text(encoding="utf-8"))[name]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{path} is no list of films by split, as AutoAD's mad_split.json is: it lacks {name} "
                        f"({error!r}).") from None
