"""QVHighlights' folders of .npz features, one file a video or query.

Sources: jayleicn/moment_detr (slowfast_features, clip_features, clip_text_features), TencentARC/UMT (PANN audio).
A video's or sound's file has ``features`` (clips, d), one row for every two seconds: 2304 of SlowFast, 512 of CLIP,
2050 of PANN. A query's has ``last_hidden_state`` (tokens, 512) and ``pooler_output`` (512,). The files do not say how
long a video is: its duration is taken to be the end of its last clip. The key is the file's path without ".npz".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.clips import Clips, Tokens
from pipeline.exchange.arrays import files, floats, need
from pipeline.exchange.npz import read_npz
from pipeline.sources import Item, read_bytes

SECONDS = 2.0
NOTE = "clips of two seconds; duration is the end of the last clip"


def items(path: Path) -> Iterable[Item]:
    """Every .npz below the folder."""
    return files(path, ".npz")


def read(item: Item) -> Clips | Tokens:
    """One file's clips or tokens; `HeedError` with the reason where it cannot be read."""
    arrays = read_npz(read_bytes(item), ("features", "last_hidden_state", "pooler_output"))
    if "last_hidden_state" in arrays:
        pooled = arrays.get("pooler_output")
        return Tokens(floats(arrays["last_hidden_state"]), None if pooled is None else floats(pooled).reshape(-1))
    return regular_clips(floats(need(arrays, "features")), SECONDS)


def regular_clips(features: np.ndarray, seconds: float) -> Clips:
    """Clips of ``seconds`` each, one after the other from 0."""
    edges = np.arange((len(features) if features.ndim else 0) + 1) * seconds
    return Clips(features, np.stack([edges[:-1], edges[1:]], axis=1).astype(np.float32), float(edges[-1]))
