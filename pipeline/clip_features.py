"""Videos into rows of clip features: decoding in threads beside the encoder, clips of several videos in one batch.

A clip's feature is the mean over its windows. Of each video only the frames that the encoder looks at are kept, at the
size it looks at them: memory does not grow with a video's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.encoders import Encoder, EncoderOptions, load_encoder
from features.errors import HeedError
from pipeline.clips import Clips
from pipeline.encoding import Encoded, encode_all
from pipeline.fields import FeatureDtype, Fields, Row, clip_fields, row_from_clips
from pipeline.pictures import Pictures, VideoPictures
from pipeline.sources import Item
from pipeline.spans import Last, clip_spans, sample_times, windows_of

IMAGES, VIDEOS = 32, 4
"""Windows in a batch, of image and of video encoders, where nothing else is asked for."""


@dataclass(frozen=True)
class EncodeClips:
    """Which encoder, and how videos reach it."""

    encoder: str
    options: EncoderOptions = field(default_factory=EncoderOptions)
    pictures: Pictures = field(default_factory=VideoPictures)
    """Where frames come from: videos, or a store of frames."""
    clip_seconds: float = 2.0
    last: Last = "half"
    windows: int = 0
    """Windows of a clip that the encoder looks at; 0 is `pipeline.spans.windows_of`."""
    l2: bool = False
    """Whether features are divided by their length."""
    dtype: FeatureDtype = "float16"
    batch: int = 0
    """Windows the encoder sees at once; 0 is `IMAGES` or `VIDEOS`. Part of the identity: it can change a feature's last
    bit."""
    decoders: int = 2
    """Videos that are decoded at once, while the encoder works."""

    def open(self) -> ClipReader:
        """Load the encoder."""
        return ClipReader(self)

    def open_to_plan(self) -> ClipReader:
        """Load the encoder on the CPU."""
        return ClipReader(replace(self, options=replace(self.options, device="cpu")))


class ClipReader:
    """A loaded encoder as a `pipeline.worker.Reader`."""

    kind = "clips"

    def __init__(self, spec: EncodeClips) -> None:
        self.encoder: Encoder = load_encoder(spec.encoder, spec.options)
        clip_spans(0.0, spec.clip_seconds)  # raises where that is no length
        windows = spec.windows or windows_of(spec.clip_seconds, self.encoder.frames, self.encoder.rate)
        self.spec = replace(spec, windows=windows, batch=spec.batch or (IMAGES if self.encoder.frames == 1 else VIDEOS))
        spec.pictures.check(spec.clip_seconds, windows * self.encoder.frames)
        self.pictures = spec.pictures.open()
        self.fields = clip_fields(self.encoder.dim, spec.dtype)

    def describe(self) -> dict[str, Any]:
        """The encoder's own description, and how clips are cut, looked at and pooled."""
        clips = {"seconds": self.spec.clip_seconds, "last": self.spec.last, "windows": self.spec.windows,
                 "pooling": "mean of windows", "l2": self.spec.l2}
        return {**self.encoder.describe(), "clips": clips, "pictures": self.spec.pictures.describe(),
                "batch": self.spec.batch}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each video's clips as a row, in order."""
        def encode(windows: Sequence[np.ndarray]) -> np.ndarray:
            return self.encoder.encode(np.stack(windows))

        try:
            for one in encode_all(items, self._windows, encode, self.spec.batch, self.spec.decoders):
                yield one.item, clip_row(one, self.spec.windows, self.spec.l2, self.fields)
        finally:
            self.pictures.close()

    def _windows(self, one: Encoded) -> Iterator[np.ndarray]:
        """A video's windows of prepared frames, (frames, h, w, 3) uint8."""
        spec = self.spec

        def plan(duration: float) -> np.ndarray:
            one.duration, one.spans = duration, clip_spans(duration, spec.clip_seconds, spec.last)
            return sample_times(one.spans, spec.clip_seconds, spec.windows * self.encoder.frames, duration).ravel()

        shown = None
        window: list[np.ndarray] = []
        for frame in self.pictures.look(one.item, plan):
            if frame.time != shown:
                shown, prepared = frame.time, self.encoder.prepare(frame.image)
            window.append(prepared)
            if len(window) == self.encoder.frames:
                yield np.stack(window)
                window = []


def clip_row(one: Encoded, windows: int, l2: bool, fields: Fields) -> Row | HeedError:
    """A store row of an input whose clips have ``windows`` features each, or why there is none."""
    if one.error:
        return one.error
    try:
        if len(one.features) != windows * len(one.spans):
            raise HeedError(f"{len(one.features)} windows came where {windows} in each of {len(one.spans)} clips were "
                            "to be looked at")
        features = np.stack(one.features).reshape(len(one.spans), windows, -1).mean(1, dtype=np.float32)
        if l2:
            features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        clips = Clips(features, one.spans.astype(np.float32), one.duration)
        return row_from_clips(one.item.key, clips.checked(), fields)
    except HeedError as error:
        return error
