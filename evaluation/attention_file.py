"""What a model attended to at every step of an answer, in one Arrow file beside its predictions, whatever the model.

    RUN/predictions/SPLIT.attention.arrow (`evaluation.run_folder.attention_path`)

A row is one attention of one sample at one step: MAC's control unit at step 2 over the question's words, its read unit
at step 2 over the regions, M4C's third decoder step over words, objects and words read in the image together. It has
weights (queries, keys), softmax over keys. Every query and every key has a label, and where it stands: characters of
the sample's text, a box in the image, both or neither. Figures and pictures need nothing else but the truth. The
columns are in `SCHEMA`; a sample's rows follow each other, in order of their steps. Several heads or layers are either
averaged before they are written, or rows with different names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evaluation.arrow_file import mapped_table
from features.errors import HeedError
from pipeline.atomic import atomic_write

SCHEMA = pa.schema([
    pa.field("id", pa.string()),                                 # of the sample: a question's id
    pa.field("image", pa.string()),                              # key of its image
    pa.field("step", pa.int32()),                                # from 0
    pa.field("name", pa.string()),                               # what attends: "control", "read", "decoder step"
    pa.field("queries", pa.list_(pa.string())),                  # labels
    pa.field("query_spans", pa.list_(pa.list_(pa.int32(), 2))),  # characters; (-1, -1): not in the text
    pa.field("keys", pa.list_(pa.string())),                     # labels
    pa.field("key_spans", pa.list_(pa.list_(pa.int32(), 2))),    # characters; (-1, -1): not in the text
    pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),      # of the keys, xyxy pixels; NaN: not in the image
    pa.field("weights", pa.list_(pa.float32())),                 # queries x keys, row-major
    pa.field("width", pa.int32()),                               # of the image, pixels; 0 where not known
    pa.field("height", pa.int32()),
])
_SUM_TOLERANCE = 0.02  # weights may have passed through bfloat16


def no_spans(count: int) -> np.ndarray:
    """Spans (count, 2) int32 of what stands nowhere in the text."""
    return np.full((count, 2), -1, np.int32)


def no_boxes(count: int) -> np.ndarray:
    """Boxes (count, 4) float32 of what stands nowhere in the image."""
    return np.full((count, 4), np.nan, np.float32)


@dataclass(frozen=True)
class Side:
    """The queries, or the keys, of an attention."""

    labels: tuple[str, ...]
    """A word as the model read it, the class of a region, a word read in the image; may be empty text."""
    spans: np.ndarray
    """(n, 2) int32 first character and one past the last, in the sample's text; (-1, -1) where it is not in it."""
    boxes: np.ndarray
    """(n, 4) float32 xyxy pixels, NaN where it is not in the image. Kept for keys only."""

    @classmethod
    def words(cls, labels: Iterable[str], spans: np.ndarray | None = None) -> Side:
        """Words of the text, or what stands nowhere (a control state, a decoder step) without ``spans``."""
        found = tuple(labels)
        return cls(found, no_spans(len(found)) if spans is None else np.asarray(spans, np.int32).reshape(-1, 2),
                   no_boxes(len(found)))

    @classmethod
    def regions(cls, boxes: np.ndarray, labels: Iterable[str] | None = None) -> Side:
        """Regions of the image; without ``labels`` theirs are empty."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        return cls(("",) * len(boxes) if labels is None else tuple(labels), no_spans(len(boxes)), boxes)

    def __add__(self, other: Side) -> Side:
        """Both, one behind the other."""
        return Side(self.labels + other.labels, np.concatenate([self.spans, other.spans]),
                    np.concatenate([self.boxes, other.boxes]))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def in_text(self) -> np.ndarray:
        """(n,) bool: which stand in the text."""
        return self.spans[:, 0] >= 0

    @property
    def in_image(self) -> np.ndarray:
        """(n,) bool: which stand in the image."""
        return np.isfinite(self.boxes).all(axis=1)


@dataclass(frozen=True)
class StepAttention:
    """One attention of one sample at one step."""

    id: str
    """Of the sample."""
    image: str
    """Key of its image."""
    step: int
    """From 0."""
    name: str
    """What attends, such as "control", "read" or "decoder step"."""
    queries: Side
    keys: Side
    weights: np.ndarray
    """(queries, keys) float32, not negative; each query's sum to 1, or are all 0 where it had nothing to attend to."""
    width: int = field(default=0)
    """Of the image, pixels; 0 where not known."""
    height: int = field(default=0)
    """Of the image, pixels; 0 where not known."""


def write_attention(path: Path, rows: Iterable[StepAttention], batch: int = 1024) -> int:
    """Write ``rows`` to ``path`` as they come, ``batch`` at a time in memory; return how many there were.

    The file takes its name only when it is whole. Raises `HeedError` where a row's shapes disagree, or its weights are
    no attention.
    """
    count = 0
    with atomic_write(path) as file, pa.ipc.new_file(file, SCHEMA) as writer:
        stream = iter(rows)
        while part := list(islice(stream, batch)):
            columns = [_columns(row) for row in part]
            writer.write_batch(pa.RecordBatch.from_pylist(columns, schema=SCHEMA))
            count += len(part)
    return count


def _columns(row: StepAttention) -> dict[str, Any]:
    """Return the row as Arrow takes it."""
    _check(row, f"the attention {row.name!r} of {row.id!r} at step {row.step}")
    return {
        "id": row.id, "image": row.image, "step": row.step, "name": row.name, "queries": list(row.queries.labels),
        "query_spans": row.queries.spans.tolist(), "keys": list(row.keys.labels),
        "key_spans": row.keys.spans.tolist(), "boxes": row.keys.boxes.tolist(),
        "weights": row.weights.astype(np.float32).reshape(-1), "width": row.width, "height": row.height,
    }


def _check(row: StepAttention, where: str) -> None:
    """`HeedError` where shapes disagree or weights are no attention."""
    for what, side in (("queries", row.queries), ("keys", row.keys)):
        if side.spans.shape != (len(side), 2) or side.boxes.shape != (len(side), 4):
            raise HeedError(f"{where} has spans of shape {side.spans.shape} and boxes of shape {side.boxes.shape} for "
                            f"{len(side)} {what}")
    if row.weights.shape != (len(row.queries), len(row.keys)):
        raise HeedError(f"{where} has weights of shape {row.weights.shape} for {len(row.queries)} queries and "
                        f"{len(row.keys)} keys")
    if not np.isfinite(row.weights).all() or (row.weights < 0).any():
        raise HeedError(f"{where} has weights that are NaN, infinite or negative")
    sums = row.weights.sum(axis=1, dtype=np.float64)
    if (np.minimum(np.abs(sums - 1), sums) > _SUM_TOLERANCE).any():
        raise HeedError(f"{where} has weights that do not sum to 1 over the keys")


@dataclass(frozen=True)
class AttentionFile:
    """A file of `write_attention`, mapped; a row is read when it is asked for."""

    path: Path
    table: pa.Table
    rows: dict[str, list[int]]
    """Sample's id -> its rows, in the order of the file."""

    @classmethod
    def read(cls, path: Path) -> AttentionFile:
        """Map a file; raise `HeedError` where it is none, is truncated, or holds no rows."""
        table = mapped_table(path, SCHEMA, "attention file")
        if not len(table):
            raise HeedError(f"the attention file {path} holds no rows")
        if any(table[name].null_count for name in SCHEMA.names):
            raise HeedError(f"the attention file {path} has rows with nothing in a column: write it again")
        rows: dict[str, list[int]] = {}
        for number, sample in enumerate(table["id"].to_pylist()):
            rows.setdefault(sample, []).append(number)
        return cls(path, table, rows)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> StepAttention:
        """A row, checked; raises `HeedError` where it is damaged."""
        cells = {name: self.table[name][row] for name in SCHEMA.names}
        told = {name: cells[name].as_py() for name in ("id", "image", "step", "name", "width", "height")}
        where = f"the attention {told['name']!r} of {told['id']!r} at step {told['step']} in {self.path}"
        queries = Side.words(cells["queries"].as_py(), _flat(cells["query_spans"], np.int32, 2))
        keys = Side(tuple(cells["keys"].as_py()), _flat(cells["key_spans"], np.int32, 2),
                    _flat(cells["boxes"], np.float32, 4))
        weights = cells["weights"].values.to_numpy(zero_copy_only=False)
        if weights.size != len(queries) * len(keys):
            raise HeedError(f"{where} has {weights.size} weights for {len(queries)} queries and {len(keys)} keys")
        found = StepAttention(queries=queries, keys=keys, weights=weights.reshape(len(queries), len(keys)), **told)
        _check(found, where)
        return found

    def of(self, sample: str, name: str | None = None) -> list[StepAttention]:
        """The rows of a sample, those called ``name`` alone where it is given, in order of their steps.

        Empty where the file has none.
        """
        found = [self[row] for row in self.rows.get(sample, ())]
        return sorted((row for row in found if name in (None, row.name)), key=lambda row: row.step)

    def __iter__(self) -> Iterator[StepAttention]:
        return (self[row] for row in range(len(self)))


def _flat(cell: pa.Scalar, dtype: type, width: int) -> np.ndarray:
    return cell.values.flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(-1, width)
