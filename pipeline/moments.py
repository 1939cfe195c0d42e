"""Batches for moment retrieval and highlight detection: videos' clips, queries' tokens, windows and saliency.

    stream = moment_stream(moments, {"slowfast": slowfast, "clip": clip}, text, batch=32)
    for batch in stream.epoch(0).batches():
        inputs = moment_batch(batch, ("slowfast", "clip"))

As Moment-DETR's loader does (Lei et al. 2021, start_end_dataset.py): of each encoder at most 75 clips, each feature
divided by its length, all cut to the shortest and joined in the order given, the clip's start and end as fractions
behind them; of the query at most 32 tokens, divided by their lengths. One difference: windows are fractions of the time
that the clips cover, which is theirs (clips times 2 s) where the last clip is whole, and the same when a prediction is
turned into seconds, where they multiply by the duration.

A video of any length is looked at in pieces (`pieces`): stretches of at most so many clips, which overlap by half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Protocol

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Moment
from pipeline.padded_rows import row_lengths
from pipeline.padding import Padded, padding_mask
from pipeline.sampler import Order
from pipeline.sources import VIDEO_SUFFIXES
from pipeline.store import Store
from pipeline.stream import Batch, Join, Stream

TEXT = "text"
"""Name of the queries' store in the stream."""
EPSILON = 1e-5
"""Added to a feature's length before it is divided by it, as published."""


@dataclass(frozen=True)
class MomentBatch:
    """Some queries, each with its video."""

    moments: Sequence[Moment]
    video: np.ndarray
    """(batch, clips, d) float32, zero behind each video's last clip; the last two numbers are start and end of the clip
    as fractions of all."""
    clips: np.ndarray
    """(batch,) int64: number of clips of each video."""
    text: np.ndarray
    """(batch, tokens, e) float32, zero behind each query's last token; no tokens where the stream has no text."""
    tokens: np.ndarray
    """(batch,) int64: number of tokens of each query."""
    starts: np.ndarray
    """(batch,) float32: where in the video the first clip begins, in seconds."""
    seconds: np.ndarray
    """(batch,) float32: what the clips cover; windows are fractions of it."""
    clip_seconds: float
    """Length of a whole clip."""
    windows: Sequence[np.ndarray]
    """For each query (w, 2) float32: start and end of what is true, 0 to 1."""
    inside: np.ndarray
    """(batch, clips) bool: whether the clip's middle is in a window."""
    rated: np.ndarray
    """(batch, clips) bool: whether the clip was rated; the others are irrelevant, or nobody rated any."""
    saliency: np.ndarray
    """(batch, clips, raters) int8: 0 to 4, and 0 where the clip was not rated."""

    @property
    def video_mask(self) -> np.ndarray:
        """(batch, clips) bool, True where there is a clip."""
        return padding_mask(self.clips, self.video.shape[1])

    @property
    def text_mask(self) -> np.ndarray:
        """(batch, tokens) bool, True where there is a token."""
        return padding_mask(self.tokens, self.text.shape[1])


class OfVideo(Protocol):
    """A sentence about a video: a moment, a description."""

    @property
    def key(self) -> str:
        """Key of the video."""
        ...


class StoredKeys:
    """The key of a moment's or caption's video in a store: its own, or that with a video file's ending."""

    def __init__(self, moments: Iterable[OfVideo], store: Store) -> None:
        self.keys = {key: _stored_key(key, store) for key in dict.fromkeys(moment.key for moment in moments)}

    def __call__(self, moment: OfVideo) -> str:
        """The key."""
        return self.keys[moment.key]


def _stored_key(key: str, store: Store) -> str:
    if store.find(key) is not None:
        return key
    found = [key + suffix for suffix in sorted(VIDEO_SUFFIXES) if store.find(key + suffix) is not None]
    if len(found) > 1:
        raise HeedError(f"{store.path} holds {' and '.join(map(repr, found))}; which of them the annotations mean by "
                        f"{key!r} cannot be told. Rename one, or give a list with keys (heed extract clips LIST …).")
    return found[0] if found else key


@dataclass(frozen=True)
class Piece(Moment):
    """A moment and the clips, first to last + 1, of its video that are looked at for it."""

    span: tuple[int, int] = (0, 0)


def pieces(moments: Sequence[Moment], videos: Mapping[str, Store], most: int) -> list[Piece]:
    """Each moment once for each stretch of its video: ``most`` clips, which overlap by half; a shorter video whole.

    A video has as many clips as the store that has fewest of it.
    """
    lengths = [(store, StoredKeys(moments, store), row_lengths(store, "features")) for store in videos.values()]
    out = []
    for moment in moments:
        rows = [(store.find(keys(moment)), counts) for store, keys, counts in lengths]
        clips = min((int(counts[row]) for row, counts in rows if row is not None), default=0)
        values = {field.name: getattr(moment, field.name) for field in fields(Moment)}
        firsts = [*range(0, max(0, clips - most), max(1, most // 2)), max(0, clips - most)]
        out += [Piece(**values, span=(first, min(first + most, clips))) for first in firsts]
    return out


def moment_stream(
    moments: Sequence[Moment], videos: Mapping[str, Store], text: Store | None, batch: int, order: Order | None = None
) -> Stream[Moment]:
    """Moments joined to their videos' stores of clips, by name, and to the queries' store of tokens, if there is one.

    Of `Piece` only the clips of its span are read.

    Moments that one of the stores lacks are left out, and told in ``missing``; raises like `Stream`, and where a store
    is of another kind.
    """
    kinds: list[tuple[str, Store | None, str]] = [(name, store, "clips") for name, store in videos.items()]
    kinds.append((TEXT, text, "tokens"))
    for name, store, kind in kinds:
        if store is not None and store.identity.kind != kind:
            raise HeedError(f"{store.path}, given as {name}, is a store of {store.identity.kind}, and one of {kind} is "
                            "needed.")
    if not videos or TEXT in videos:
        raise HeedError(f"Videos' stores are given by name, at least one, and none is called {TEXT!r}.")
    span = attrgetter("span") if moments and isinstance(moments[0], Piece) else None
    joins: dict[str, Join[Moment]] = {
        name: Join(store, StoredKeys(moments, store), ("features", "spans"), span=span)
        for name, store in videos.items()}
    if text is not None:
        joins[TEXT] = Join(text, attrgetter("id"))
    return Stream(moments, joins, batch, order)


def moment_batch(
    batch: Batch[Moment], videos: Sequence[str], most_clips: int = 75, most_tokens: int = 32, normalise: bool = True,
    fractions: bool = True, normalise_text: bool = True,
) -> MomentBatch:
    """What a model of moments takes, of a batch of `moment_stream`; ``videos`` names the stores in their order.

    0 clips or tokens at most is no limit. ``normalise`` divides clips' features by their lengths, ``normalise_text``
    the tokens', and ``fractions`` adds each clip's start and end. Raises `HeedError` where the stores' clips are not of
    one length.
    """
    first = batch[videos[0]]["spans"]
    clips = np.minimum.reduce([batch[name]["features"].lengths for name in videos])
    clips = np.minimum(clips, most_clips) if most_clips else clips
    longest = int(clips.max(initial=0))
    spans = first.values[:, :longest]
    mask = padding_mask(clips, longest)
    _check_spans(batch, videos, mask)
    parts = [_features(batch[name]["features"], mask, normalise) for name in videos]
    if fractions:
        edges = np.arange(longest + 1, dtype=np.float32) / np.maximum(clips, 1)[:, None].astype(np.float32)
        parts.append(np.stack([edges[:, :-1], edges[:, 1:]], 2) * mask[:, :, None])
    size = len(batch.samples)
    tokens = (batch[TEXT]["features"] if TEXT in batch.stores
              else Padded(np.zeros((size, 0, 0), np.float32), np.zeros(size, np.int64)))
    counts = np.minimum(tokens.lengths, most_tokens) if most_tokens else tokens.lengths
    ends = np.array([span[n - 1, 1] if n else 0 for span, n in zip(spans, clips, strict=True)], np.float32)
    starts = spans[:, 0, 0].astype(np.float32) if longest else np.zeros(size, np.float32)
    middles = spans.mean(2)
    inside = [((middle[:, None] >= m.windows[:, 0]) & (middle[:, None] < m.windows[:, 1])).any(1)
              for m, middle in zip(batch.samples, middles, strict=True)]
    rated, saliency = _ratings(batch.samples, middles, mask)
    return MomentBatch(
        batch.samples, np.concatenate(parts, 2), clips,
        _features(tokens, padding_mask(counts, int(counts.max(initial=0))), normalise_text), counts,
        starts, ends - starts,
        float((spans[:, 0, 1] - spans[:, 0, 0]).max(initial=0)) if longest else 0.0,
        [_fractions(moment.windows, *edges) for moment, *edges in zip(batch.samples, starts, ends, strict=True)],
        np.array(inside, bool).reshape(mask.shape) & mask, rated, saliency)


def _features(padded: Padded, mask: np.ndarray, normalise: bool) -> np.ndarray:
    values = padded.values[:, :mask.shape[1]].astype(np.float32) * mask[:, :, None]
    if normalise:
        values /= np.linalg.norm(values, axis=2, keepdims=True) + EPSILON
    return values


def _fractions(windows: np.ndarray, start: float, end: float) -> np.ndarray:
    """Windows as fractions of the clips' time, without those that lie before or behind it."""
    inside = windows[(windows[:, 0] < end) & (windows[:, 1] > start)]
    return np.clip((inside - start) / max(end - start, EPSILON), 0, 1).astype(np.float32)


def _ratings(moments: Sequence[Moment], middles: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which clips were rated, and how: a clip has the ratings of the annotated clip that holds its middle."""
    raters = max((moment.saliency.shape[1] for moment in moments), default=0)
    saliency = np.zeros((*mask.shape, raters), np.int8)
    rated = np.zeros(mask.shape, bool)
    for row, moment in enumerate(moments):
        where = {clip: place for place, clip in enumerate(moment.clips.tolist())}
        numbers = (middles[row] / moment.clip_seconds).astype(int).tolist()
        for place in np.flatnonzero(mask[row]).tolist():
            if numbers[place] in where:
                rated[row, place] = True
                saliency[row, place, :moment.saliency.shape[1]] = moment.saliency[where[numbers[place]]]
    return rated, saliency


def _check_spans(batch: Batch[Moment], videos: Sequence[str], mask: np.ndarray) -> None:
    """Raise `HeedError` where two stores cut a video into clips of different lengths."""
    first = batch[videos[0]]["spans"].values[:, :mask.shape[1]]
    for name in videos[1:]:
        other = batch[name]["spans"].values[:, :mask.shape[1]]
        apart = (np.abs(first[:, :, 0] - other[:, :, 0]) > 0.1) & mask
        if apart.any():
            row, place = np.argwhere(apart)[0]
            raise HeedError(f"Clip {place} of {batch.samples[row].key!r} begins at {first[row, place, 0]:g} s in the "
                            f"store {videos[0]!r} and at {other[row, place, 0]:g} s in {name!r}; extract both with the "
                            "same --clip-seconds.")
