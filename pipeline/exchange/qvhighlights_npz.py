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

from features.errors import HeedError
from pipeline.clips import Clips, Tokens
from pipeline.exchange.arrays import file_of, files, floats, need
from pipeline.exchange.npz import read_npz
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

KINDS = ("clips", "tokens")
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
    """Clips of ``seconds`` each, one after the other from 0; `HeedError` where the features are not (n, d)."""
    if features.ndim != 2:
        raise HeedError(f"features have shape {features.shape} where (n, d) is expected")
    spans = _regular_spans(len(features), seconds)
    return Clips(features, spans, len(spans) * seconds)


def _regular_spans(count: int, seconds: float) -> np.ndarray:
    edges = (np.arange(count + 1) * seconds).astype(np.float32)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def regular_features(row: Row, seconds: float) -> np.ndarray:
    """Features of a row whose clips are ``seconds`` each from 0, the last perhaps shorter; `HeedError` for others."""
    spans, expected = row["spans"], _regular_spans(len(row["spans"]), seconds)
    early = expected[-1:, 1] - spans[-1:, 1]  # how much shorter the last clip is
    expected[-1:, 1] -= np.clip(early, 0, seconds)
    if not np.allclose(spans, expected, atol=seconds / 100, rtol=1e-5):
        raise HeedError(f"The clips of {row['key']!r} are not {seconds:g} s each, one after the other from 0, as this "
                        "format takes them to be; h5 and parquet can hold them.")
    return np.asarray(row["features"], np.float32)


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the folder ``path``: a store of clips as videos' or sounds' features, one of tokens as queries'."""
    path.mkdir()
    for row in rows:
        if "spans" in fields:
            arrays = {"features": regular_features(row, SECONDS)}
        else:
            arrays = {"last_hidden_state": np.asarray(row["features"], np.float32)}
            if "pooled" in row:
                arrays["pooler_output"] = row["pooled"]
        np.savez_compressed(file_of(path, row["key"], ".npz"), **arrays)  # type: ignore[arg-type]
