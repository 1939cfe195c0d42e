"""Read moments and highlights in the JSON lines of QVHighlights (Lei et al. 2021).

    {"qid": 2579, "query": "…", "vid": "NUsG9BgSes0_210.0_360.0", "duration": 150,
     "relevant_windows": [[82, 150]], "relevant_clip_ids": [41, …], "saliency_scores": [[1, 1, 2], …]}

The last three may be absent (queries to answer) and the last two too (windows only). A folder holds
highlight_{train,val,test}_release.jsonl; of the test split, highlight_test_with_gt.jsonl is taken where it is there.
A moment's id is "qid2579", the name of its published text features.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Moment

SPLITS = ("train", "val", "test")
RATERS = 3


def recognises(path: Path) -> bool:
    """Whether this is a folder of the published files, or JSON lines whose first has a qid and a query."""
    if path.is_dir():
        return any(_file(path, split) for split in SPLITS)
    if path.suffix != ".jsonl":
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(100_000)
    return '"qid"' in first and '"query"' in first


def read(path: Path, split: str | None = None) -> list[Moment]:
    """The moments of a file, or of a split of a folder (None: all), in the files' order.

    Raises `HeedError` naming the line for anything that is not in this format.
    """
    if path.is_file():
        return _read_file(path)
    wanted = [split] if split else SPLITS
    files = [file for name in wanted if (file := _file(path, name))]
    if not files:
        raise HeedError(f"{path} has no highlight_{split or '*'}_release.jsonl.")
    return [moment for file in files for moment in _read_file(file)]


def qid(moment: Moment) -> int:
    """The number by which submissions name the query."""
    return int(moment.id.removeprefix("qid"))


def _file(folder: Path, split: str) -> Path | None:
    names = (["highlight_test_with_gt.jsonl"] if split == "test" else []) + [f"highlight_{split}_release.jsonl"]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_file(path: Path) -> list[Moment]:
    moments: list[Moment] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    moments.append(_moment(json.loads(line)))
                except (ValueError, KeyError, TypeError, OverflowError, RecursionError, HeedError) as error:
                    raise HeedError(f"Line {number} of {path} is not in QVHighlights' format: {error!r}.") from None
    if len({moment.id for moment in moments}) != len(moments):
        raise HeedError(f"{path} has two lines with one qid.")
    return moments


def _moment(row: dict[str, Any]) -> Moment:
    windows = np.array(row.get("relevant_windows", []), np.float32).reshape(-1, 2)
    clips = np.array(row.get("relevant_clip_ids", []), np.int64).reshape(-1)
    saliency = np.array(row.get("saliency_scores", []), np.int8)
    saliency = saliency if len(clips) else saliency.reshape(0, RATERS)
    if not np.isfinite(windows).all() or (windows[:, 1] < windows[:, 0]).any():
        raise HeedError("a window ends before it starts")
    if saliency.ndim != 2 or len(saliency) not in (0, len(clips)) or (clips < 0).any():
        raise HeedError(f"there are {len(clips)} relevant clips and saliency scores of shape {saliency.shape}")
    if not len(saliency):
        clips = clips[:0]
    return Moment(f"qid{int(row['qid'])}", str(row["vid"]), str(row["query"]), windows[np.argsort(windows[:, 0])],
                  float(row["duration"]), clips, saliency)
