"""Batches for audio description: the clips of a film that a sentence describes, as video and perhaps as sound.

    windows, notes = described_windows(descriptions, {"video 1": frames, "audio": sound}, margin=0.0)
    stream = description_stream(windows, {"video 1": frames, "audio": sound}, batch=32)
    for batch in stream.epoch(0).batches():
        inputs = described_clips(batch, ("video 1",), most=512)

Of a film's row only the clips of the sentence are read: of MAD's two hours at five frames a second some twenty of
36,000. They are those whose middles lie in the sentence's time, which for frames at f a second are round(f * start) to
round(f * end) - 1, as in MAD's own loader; of a sentence shorter than a clip, the clip around its middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Description
from pipeline.moments import StoredKeys
from pipeline.padded_rows import row_lengths
from pipeline.padding import padding_mask
from pipeline.sampler import Order
from pipeline.store import Store
from pipeline.stream import Batch, Join, Stream


@dataclass(frozen=True)
class Window(Description):
    """A description and where its clips are."""

    spans: Mapping[str, tuple[int, int]]
    """Store's name -> first clip and one past the last, in the film's row."""


@dataclass(frozen=True)
class DescribedClips:
    """The clips of some descriptions, as one store or several joined stores have them."""

    features: np.ndarray
    """(batch, clips, d) float32, zero behind each one's last clip."""
    lengths: np.ndarray
    """(batch,) int64: number of clips of each."""
    shares: np.ndarray
    """(batch, clips) float32: which part of each clip the description's time fills, 0 to 1."""

    @property
    def mask(self) -> np.ndarray:
        """(batch, clips) bool, True where there is a clip."""
        return padding_mask(self.lengths, self.features.shape[1])


def described_windows(
    descriptions: Sequence[Description], stores: Mapping[str, Store], margin: float = 0.0
) -> tuple[list[Window], list[str]]:
    """Where each description's clips are in every store, ``margin`` seconds before and behind it too.

    Left out, and counted in the notes, are descriptions whose film a store lacks or has no clips of at their time.
    Raises `HeedError` where a store does not hold clips, or none is left.
    """
    looks = {name: _Films(descriptions, store, name) for name, store in stores.items()}
    windows, lacking, behind = [], [], []
    for one in descriptions:
        spans = {name: look.span(one, margin) for name, look in looks.items()}
        if None in spans.values():
            lacking.append(one.key)
        elif any(first >= last for first, last in filter(None, spans.values())):
            behind.append(one.id)
        else:
            values = {field.name: getattr(one, field.name) for field in fields(Description)}
            windows.append(Window(**values, spans={name: span for name, span in spans.items() if span is not None}))
    notes = []
    if lacking:
        films = sorted(set(lacking))
        notes.append(f"{len(lacking):,} of {len(descriptions):,} descriptions are of films that a store lacks, and are "
                     f"left out ({len(films):,} films, for example {films[0]!r})")
    if behind:
        notes.append(f"{len(behind):,} descriptions lie behind their film's last clip, and are left out (for example "
                     f"{behind[0]!r})")
    if not windows:
        raise HeedError(f"No description has clips in every store: {'; '.join(notes) or 'there are none'}.")
    return windows, notes


class _Films:
    """The films of a store: how long a clip is, and how many there are."""

    def __init__(self, descriptions: Sequence[Description], store: Store, name: str) -> None:
        if store.identity.kind != "clips":
            raise HeedError(f"{store.path}, given as {name}, is a store of {store.identity.kind}, and one of clips is "
                            "needed.")
        self.store, self.key = store, StoredKeys(descriptions, store)
        self.counts = row_lengths(store, "spans")
        self.seconds: dict[int, float] = {}

    def span(self, one: Description, margin: float) -> tuple[int, int] | None:
        """First clip and one past the last, the same number twice where there is none; None where the film is not."""
        row = self.store.find(self.key(one))
        if row is None or not self.counts[row]:
            return None
        if row not in self.seconds:
            first = self.store.gather("spans", [row], [(0, 1)])[0][0, 0]
            self.seconds[row] = round(float(first[1] - first[0]), 5)  # stored in float32
        return clip_span(one.start - margin, one.end + margin, self.seconds[row], int(self.counts[row]))


def clip_span(start: float, end: float, seconds: float, count: int) -> tuple[int, int]:
    """Of ``count`` clips of ``seconds`` each, the first whose middle lies in a time and one past the last.

    Where none does, the clip around its middle; the same number twice where the time lies behind all clips.
    """
    first, last = round(start / seconds), round(end / seconds)
    if first >= last:
        first = int(max(0.0, (start + end) / 2) / seconds)
        last = first + 1
    first, last = max(0, first), min(last, count)
    return (first, last) if first < last else (count, count)


class _SpanOf:
    """Gives a window's span in one store."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, window: Window) -> tuple[int, int]:
        return window.spans[self.name]


def description_stream(
    windows: Sequence[Window], stores: Mapping[str, Store], batch: int, order: Order | None = None
) -> Stream[Window]:
    """Descriptions joined to their films in every store; only their own clips are read."""
    joins = {name: Join(store, StoredKeys(windows, store), ("features", "spans"), span=_SpanOf(name))
             for name, store in stores.items()}
    return Stream(windows, joins, batch, order)


def described_clips(batch: Batch[Window], names: Sequence[str], most: int = 0) -> DescribedClips:
    """The clips of a batch in the stores called ``names``, whose features are joined in that order.

    Where a description has more than ``most`` clips (0: no limit), that many of them, evenly spread. Raises `HeedError`
    where the stores' clips are not of one length.
    """
    found = [batch[name] for name in names]
    counts = np.minimum.reduce([one["features"].lengths for one in found])
    kept = [_spread(int(count), most) for count in counts]
    lengths = np.array([len(places) for places in kept], np.int64)
    longest = int(lengths.max(initial=0))
    dims = [one["features"].values.shape[2] for one in found]
    features = np.zeros((len(kept), longest, sum(dims)), np.float32)
    shares = np.zeros((len(kept), longest), np.float32)
    for row, (window, places) in enumerate(zip(batch.samples, kept, strict=True)):
        spans = found[0]["spans"].values[row, places].astype(np.float64)
        for name, one in zip(names[1:], found[1:], strict=True):
            if np.abs(one["spans"].values[row, places] - spans)[:, 0].max(initial=0) > 0.1:
                raise HeedError(f"The clips of {window.key!r} are not the same in the stores {names[0]!r} and "
                                f"{name!r}; extract both with the same --clip-seconds.")
        features[row, : len(places)] = np.concatenate([one["features"].values[row, places] for one in found], 1)
        filled = np.minimum(spans[:, 1], window.end) - np.maximum(spans[:, 0], window.start)
        shares[row, : len(places)] = np.clip(filled / np.maximum(spans[:, 1] - spans[:, 0], 1e-6), 0, 1)
    return DescribedClips(features, lengths, shares)


def _spread(count: int, most: int) -> np.ndarray:
    """All of ``count`` places, or ``most`` of them, the middles of as many equal parts."""
    if not most or count <= most:
        return np.arange(count)
    return ((np.arange(most) + 0.5) * count / most).astype(np.int64)
