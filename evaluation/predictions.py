"""Matching predictions: every caption's score for every image, and what its words attended to, in one Arrow file.

A row is a caption; `evaluation.matching` needs nothing else but the truth, and no model. The columns are in `SCHEMA`.
The schema's metadata holds "images", a JSON list of image keys (the order of every row's scores), and "direction": in
"t2i" a token's weights sum to 1 over the regions, in "i2t" a region's weights sum to 1 over the tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evaluation.arrow_file import mapped_table
from features.errors import HeedError
from pipeline.atomic import atomic_write

DIRECTIONS = ("t2i", "i2t")
SCHEMA = pa.schema([
    pa.field("caption", pa.string()),                        # id of the caption
    pa.field("image", pa.string()),                          # key of the caption's own image
    pa.field("scores", pa.list_(pa.float32())),              # one an image, higher = better match
    pa.field("tokens", pa.list_(pa.string())),               # as the model read them
    pa.field("spans", pa.list_(pa.list_(pa.int32(), 2))),    # their characters in the caption; (-1, -1): special token
    pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),  # regions of the own image, xyxy pixels
    pa.field("weights", pa.list_(pa.float32())),             # attention, tokens x regions, row-major
    pa.field("width", pa.int32()),                           # of the own image, pixels
    pa.field("height", pa.int32()),
])
ATTENTION = ("tokens", "spans", "boxes", "weights", "width", "height")
"""The columns that are null where attention was not asked for."""
_SUM_TOLERANCE = 0.02  # weights may have passed through bfloat16


@dataclass(frozen=True)
class CaptionAttention:
    """Attention of one caption's tokens over the regions of its own image."""

    tokens: tuple[str, ...]
    """As the model read them."""
    spans: np.ndarray
    """(tokens, 2) int32 first character and one past the last, in the caption's text; (-1, -1) for special tokens."""
    boxes: np.ndarray
    """(regions, 4) float32 xyxy pixels."""
    weights: np.ndarray
    """(tokens, regions) float32, not negative."""
    width: int
    """Of the image, pixels."""
    height: int
    """Of the image, pixels."""


@dataclass(frozen=True)
class MatchingRow:
    """One caption's predictions, as a trainer writes them."""

    caption: str
    """Id of the caption."""
    image: str
    """Key of its own image."""
    scores: np.ndarray
    """(images,) higher = better match."""
    attention: CaptionAttention | None = None
    """None where it was not asked for."""


def write_matching(
    path: Path, images: Sequence[str], direction: str, rows: Iterable[MatchingRow], batch: int = 256
) -> int:
    """Write ``rows`` to ``path`` as they come, ``batch`` at a time in memory; return how many there were.

    The file takes its name only when it is whole. Raises `HeedError` where a row does not fit ``images``.
    """
    if direction not in DIRECTIONS:
        raise HeedError(f"attention direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
    schema = SCHEMA.with_metadata({"images": json.dumps(list(images)), "direction": direction})
    count = 0
    with atomic_write(path) as file, pa.ipc.new_file(file, schema) as writer:
        stream = iter(rows)
        while part := list(islice(stream, batch)):
            columns = [_columns(row, len(images)) for row in part]
            writer.write_batch(pa.RecordBatch.from_pylist(columns, schema=schema))
            count += len(part)
    return count


def _columns(row: MatchingRow, images: int) -> dict[str, Any]:
    """Return the row as Arrow takes it."""
    if row.scores.shape != (images,):
        raise HeedError(f"caption {row.caption!r} has scores of shape {row.scores.shape} for {images} images")
    columns: dict[str, Any] = {"caption": row.caption, "image": row.image, "scores": row.scores.astype(np.float32)}
    if (seen := row.attention) is not None:
        expected = (len(seen.tokens), len(seen.boxes))
        if seen.weights.shape != expected or seen.spans.shape != (len(seen.tokens), 2):
            raise HeedError(f"caption {row.caption!r} has attention of shape {seen.weights.shape} and spans of shape "
                            f"{seen.spans.shape} for {expected[0]} tokens and {expected[1]} regions")
        columns |= {
            "tokens": list(seen.tokens), "spans": seen.spans.tolist(), "boxes": seen.boxes.tolist(),
            "weights": seen.weights.astype(np.float32).reshape(-1), "width": seen.width, "height": seen.height,
        }
    return columns


@dataclass(frozen=True)
class MatchingPredictions:
    """A predictions file, read and checked."""

    path: Path
    """Where it came from, for messages."""
    direction: str
    """What attention weights sum to 1 over: "t2i" the regions, "i2t" the tokens."""
    images: list[str]
    """Keys, in the order of the columns of ``scores``."""
    captions: list[str]
    """Ids, in the order of the rows of ``scores``."""
    own: list[str]
    """The key of each caption's own image."""
    scores: np.ndarray
    """(captions, images) float32, all finite."""
    rest: pa.Table
    """The attention columns, mapped from the file."""

    @classmethod
    def read(cls, path: Path) -> MatchingPredictions:
        """Read a file of `write_matching`; raise `HeedError` where it is not one, is truncated, or holds NaN."""
        table = mapped_table(path, SCHEMA, "predictions file")
        images, direction = _metadata(path, table.schema)
        captions, own = table["caption"].to_pylist(), table["image"].to_pylist()
        if not captions or not images:
            raise HeedError(f"the predictions {path} hold {len(captions)} captions and {len(images)} images")
        if None in captions or None in own:
            raise HeedError(f"the predictions {path} hold captions without an id or an image key")
        for what, names in (("caption", captions), ("image", images)):
            if len(set(names)) < len(names):
                twice = Counter(names).most_common(1)[0][0]
                raise HeedError(f"the predictions {path} hold the {what} {twice!r} twice")
        scores = np.empty((len(captions), len(images)), np.float32)
        for first, part in _chunks(table["scores"]):
            _score_rows(path, part, captions[first:first + len(part)], scores[first:first + len(part)])
        return cls(path, direction, images, captions, own, scores, table.select(ATTENTION))

    @property
    def has_attention(self) -> bool:
        """Whether any caption's attention was written."""
        return self.rest["weights"].null_count < len(self.captions)

    def attention(self, row: int) -> CaptionAttention | None:
        """Attention of a caption, by its row; None if there is none. Raises `HeedError` where its shapes disagree."""
        cells = {name: self.rest[name][row] for name in ATTENTION}
        if not all(cell.is_valid for cell in cells.values()):
            return None
        tokens = tuple(cells["tokens"].as_py())
        spans = cells["spans"].values.flatten().to_numpy().reshape(-1, 2)
        boxes = cells["boxes"].values.flatten().to_numpy().reshape(-1, 4)
        weights = cells["weights"].values.to_numpy()
        where = f"caption {self.captions[row]!r} in {self.path}"
        if len(spans) != len(tokens) or weights.size != len(tokens) * len(boxes):
            raise HeedError(f"{where} has {weights.size} attention weights and {len(spans)} spans for {len(tokens)} "
                            f"tokens and {len(boxes)} regions")
        weights = weights.reshape(len(tokens), len(boxes))
        if not np.isfinite(weights).all() or (weights < 0).any() or not np.isfinite(boxes).all():
            raise HeedError(f"{where} has NaN, infinite or negative attention weights or boxes")
        sums = weights.sum(axis=1 if self.direction == "t2i" else 0)
        if weights.size and np.abs(sums - 1).max() > _SUM_TOLERANCE:
            raise HeedError(f"{where} has attention weights that do not sum to 1 over its "
                            f"{'regions' if self.direction == 't2i' else 'tokens'}, as direction {self.direction} says")
        return CaptionAttention(tokens, spans, boxes, weights, cells["width"].as_py(), cells["height"].as_py())


def _metadata(path: Path, schema: pa.Schema) -> tuple[list[str], str]:
    """Return the image keys and the direction of attention."""
    metadata = schema.metadata or {}
    try:
        images, direction = json.loads(metadata[b"images"]), metadata[b"direction"].decode()
    except (KeyError, ValueError):
        raise HeedError(f"the predictions {path} do not say their images and direction in their metadata") from None
    if direction not in DIRECTIONS or not isinstance(images, list) or not all(isinstance(i, str) for i in images):
        raise HeedError(f"the predictions {path} say direction {direction!r} (of {', '.join(DIRECTIONS)}) or images "
                        "that are not a list of keys")
    return images, direction


def _chunks(column: pa.ChunkedArray) -> Iterator[tuple[int, pa.ListArray]]:
    """Give the column's chunks, each with the row it starts at."""
    first = 0
    for chunk in column.chunks:
        yield first, chunk
        first += len(chunk)


def _score_rows(path: Path, part: pa.ListArray, captions: list[str], out: np.ndarray) -> None:
    """Copy the lists of ``part`` into the rows of ``out``, all of one length and finite."""
    lengths = part.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if (lengths != out.shape[1]).any():
        row = int(np.argmax(lengths != out.shape[1]))
        raise HeedError(f"caption {captions[row]!r} in {path} has {lengths[row]} scores for {out.shape[1]} images")
    out[:] = part.flatten().to_numpy(zero_copy_only=False).reshape(out.shape)
    if not np.isfinite(out).all():
        row = int(np.argmax(~np.isfinite(out).all(axis=1)))
        raise HeedError(f"caption {captions[row]!r} in {path} has scores that are NaN or infinite: the model diverged")
