"""Videos' sound into rows of clip features, clip by clip in step with the pictures.

Clips are those that `pipeline.clip_features` cuts of the same video: by the pictures' duration, or by the sound's where
a file has no pictures. A clip in which there is no sound to be heard, as the file has none or it ends early, has a
feature of zeros, which no sound has: so a sound store has the same rows as its video store, and joins with it. With
``without_sound="fail"`` a file without sound is a counted failure instead.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from features.encoders.encoder import EncoderOptions
from features.errors import HeedError
from features.sound import SoundEncoder, load_sound_encoder
from features.video.guard import Guard
from pipeline.clip_features import clip_row
from pipeline.encoding import Encoded, encode_all
from pipeline.fields import FeatureDtype, Row, clip_fields
from pipeline.frames import video_source
from pipeline.sources import VIDEO_SUFFIXES, Item
from pipeline.spans import Last, clip_spans

SOUND_SUFFIXES = VIDEO_SUFFIXES | {".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aiff", ".w64"}


@dataclass(frozen=True)
class EncodeSound:
    """Which encoder, and how sound reaches it."""

    encoder: str
    options: EncoderOptions = field(default_factory=EncoderOptions)
    clip_seconds: float = 2.0
    last: Last = "half"
    l2: bool = False
    """Whether features are divided by their length."""
    without_sound: Literal["zeros", "fail"] = "zeros"
    dtype: FeatureDtype = "float16"
    batch: int = 16
    """Clips the encoder hears at once. Part of the identity: it can change a feature's last bit."""
    decoders: int = 2
    """Files that are decoded at once, while the encoder works."""
    stall: float = 10.0
    """A file fails where nothing can be read or decoded of it for so many seconds."""

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU would be of use."""
        return not self.encoder.startswith("logmel")

    def open(self) -> SoundReader:
        """Load the encoder."""
        return SoundReader(self)

    def open_to_plan(self) -> SoundReader:
        """Load the encoder on the CPU."""
        return SoundReader(replace(self, options=replace(self.options, device="cpu")))


class SoundReader:
    """A loaded encoder as a `pipeline.worker.Reader`."""

    kind = "clips"

    def __init__(self, spec: EncodeSound) -> None:
        clip_spans(0.0, spec.clip_seconds)  # raises where that is no length
        self.spec = spec
        self.encoder: SoundEncoder = load_sound_encoder(spec.encoder, spec.options)
        self.fields = clip_fields(self.encoder.dim, spec.dtype)
        self._idle: queue.LifoQueue[Guard] = queue.LifoQueue()

    def describe(self) -> dict[str, Any]:
        """The encoder's own description, and how clips are cut."""
        clips = {"seconds": self.spec.clip_seconds, "last": self.spec.last, "l2": self.spec.l2,
                 "without_sound": self.spec.without_sound}
        return {**self.encoder.describe(), "clips": clips, "batch": self.spec.batch}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each file's clips as a row, in order."""
        try:
            for one in encode_all(items, self._clips, self.encoder.encode, self.spec.batch, self.spec.decoders):
                yield one.item, clip_row(one, 1, self.spec.l2, self.fields)
        finally:
            while not self._idle.empty():
                self._idle.get_nowait().close()

    def _clips(self, one: Encoded) -> Iterator[np.ndarray]:
        """The samples of each clip, (n,) float32; none where there is no sound."""
        if one.item.error:
            raise HeedError(one.item.error)
        try:
            guard = self._idle.get_nowait()
        except queue.Empty:
            guard = Guard(self.spec.stall)
        try:
            one.duration, has_sound = self._length(guard, one.item)
            if not has_sound and self.spec.without_sound == "fail":
                raise HeedError("the file has no sound")
            one.spans = clip_spans(one.duration, self.spec.clip_seconds, self.spec.last)
            bounds = np.rint(one.spans * self.encoder.rate).astype(int).tolist()
            if not has_sound:
                yield from cut(iter(()), bounds)
                return
            with closing(guard.audio_blocks(video_source(one.item), self.encoder.rate)) as blocks:
                yield from cut(blocks, bounds)
                with suppress(HeedError):  # a decoder that is not heard out would have to be started again
                    deque(blocks, 0)
        finally:
            self._idle.put(guard)

    def _length(self, guard: Guard, item: Item) -> tuple[float, bool]:
        """Seconds of the pictures, or of the sound where there are no pictures; and whether there is sound."""
        source = video_source(item)
        try:
            info = guard.probe(source)
            return info.duration, info.has_audio
        except HeedError as error:
            try:  # it may be sound alone: that it can be read will show
                samples = sum(len(block) for block in guard.audio_blocks(source, self.encoder.rate))
            except HeedError as silent:
                raise HeedError(str(error) if str(error) == str(silent) else f"{error}; {silent}") from None
            return samples / self.encoder.rate, True


def cut(blocks: Iterator[np.ndarray], bounds: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """samples[start:end] for each of ``bounds``, which follow each other, of samples that come in blocks."""
    held, first = np.zeros(0, np.float32), 0
    for start, end in bounds:
        while first + len(held) < end and (block := next(blocks, None)) is not None:
            held = np.concatenate([held, block])
        yield held[max(start - first, 0):max(end - first, 0)]
        held, first = held[max(end - first, 0):], first + min(len(held), max(end - first, 0))
