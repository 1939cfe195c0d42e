"""Videos' clips for captions: captions joined to one store of clips, or to several, and a batch's clips as one array.

    stream = video_stream(captions, {"objects": objects, "sound": sound}, batch=64)
    for batch in stream.epoch(0).batches():
        clips = video_batch(batch, ("objects", "sound"), most=32)

A clip is what it is in `pipeline.moments`: the features of all stores behind each other, each perhaps divided by its
length, and its start and end as fractions of the video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.annotations import Caption, Moment
from pipeline.moments import moment_batch, moment_stream
from pipeline.padding import padding_mask
from pipeline.sampler import Order
from pipeline.store import Store
from pipeline.stream import Batch, Stream


@dataclass(frozen=True)
class VideoBatch:
    """Some captions, each with its video."""

    captions: Sequence[Caption]
    video: np.ndarray
    """(batch, clips, d + 2) float32, zero behind each video's last clip; the last two numbers are a clip's place."""
    mask: np.ndarray
    """(batch, clips) bool, True where there is a clip."""


def video_stream(
    captions: Sequence[Caption], videos: Mapping[str, Store], batch: int, order: Order | None = None,
) -> Stream[Moment]:
    """Captions (as moments without a window) joined to their videos' clips; raises like `moment_stream`."""
    nowhere = np.zeros((0, 2), np.float32)
    moments = [Moment(caption.id, caption.key, caption.text, nowhere) for caption in captions]
    return moment_stream(moments, videos, None, batch, order)


def video_batch(batch: Batch[Moment], names: Sequence[str], most: int, normalise: bool = True) -> VideoBatch:
    """A batch of `video_stream`; of a video of more than ``most`` clips as many, evenly spread, the first and last
    among them. ``normalise`` divides each store's features by their lengths.
    """
    made = moment_batch(batch, names, most_clips=0, normalise=normalise)
    video, clips = made.video, made.clips
    if video.shape[1] > most:
        kept = np.minimum(clips, most)
        places = np.zeros((len(clips), most), np.int64)
        for row, (count, of) in enumerate(zip(kept.tolist(), clips.tolist(), strict=True)):
            places[row, :count] = spread(of, count)
        video = np.take_along_axis(video, places[:, :, None], 1) * padding_mask(kept, most)[:, :, None]
        video, clips = video[:, : int(kept.max(initial=0))], kept
    captions = [Caption(moment.id, moment.key, moment.text) for moment in made.moments]
    return VideoBatch(captions, video, padding_mask(clips, video.shape[1]))


def spread(count: int, most: int) -> np.ndarray:
    """(most,) int64 of 0 to ``count`` - 1, or all of them where they are no more: evenly spread, both ends among them.
    """
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64) if most > 1 else np.array([(count - 1) // 2])
