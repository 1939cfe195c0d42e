"""Read the moments of a scenes folder's videos, as its published/highlight_*_release.jsonl have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.annotations import Moment
from pipeline.datasets.scenes_videos import recognises, rows

__all__ = ["read", "recognises"]


def read(path: Path, split: str | None = None) -> list[Moment]:
    """The moments in the order of the videos; an id is "qid" and the qid of the published file.

    Raises `HeedError` for a folder that is not whole.
    """
    return [
        Moment(
            f"qid{row['index'] * 1000 + i}", row["key"], moment["text"],
            np.array(moment["relevant_windows"], np.float32).reshape(-1, 2), float(row["seconds"]),
            np.array(moment["relevant_clip_ids"], np.int64), np.array(moment["saliency_scores"], np.int8),
        )
        for row in rows(path, split) for i, moment in enumerate(row["moments"])
    ]
