"""Videos into rows of frames: decoded by a guarded process, kept as image files.

A row is a video: its key, the frames' times and files. While a shard grows, the files are in a temporary file, not in
memory, whatever the length of the videos.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from features.errors import HeedError
from features.video.container import VideoSource, pyav
from features.video.guard import EncodedFrame, Guard
from features.video.sampling import Sampling
from pipeline.blobs import Blobs
from pipeline.fields import Row, frame_fields
from pipeline.job import MAX_SHARD_ROWS, SHARDS
from pipeline.sources import Item, Source
from pipeline.store import Store

SHARD_BYTES = 1 << 30
"""Bytes of videos a shard: some 50 to 200 MB of frames of 224 pixels at one a second, minutes of work to lose."""
UNKNOWN_BYTES = 64 << 20
"""What a video is taken to have whose size is not known."""
IN_MEMORY = 64 << 20
"""Bytes of frames of a growing shard that are kept in memory; more go to a temporary file."""


@dataclass(frozen=True)
class ReadFrames:
    """Which frames of each video, and how they are kept."""

    sampling: Sampling
    """Its times, where it has any, stand for those that each input gives."""
    image: Literal["jpg", "png"] = "jpg"
    quality: int = 90
    """Of a JPEG, 1 to 95."""
    stall: float = 10.0
    """Seconds without anything read or decoded after which a video fails."""
    deadline: float = 4 * 3600.0
    """Seconds that decoding one video may take."""
    uses_gpu = False

    def open(self) -> FramesReader:
        """Check that PyAV is there."""
        return FramesReader(self)

    open_to_plan = open


class FramesReader:
    """Videos as a `pipeline.worker.Reader`."""

    kind = "frames"

    def __init__(self, spec: ReadFrames) -> None:
        if not 1 <= spec.quality <= 95:
            raise HeedError(f"The quality of a JPEG is 1 to 95, not {spec.quality}.")
        self.spec = spec
        self.fields = frame_fields(spec.image)
        self.guard = Guard(spec.stall, spec.deadline)
        av = pyav()
        libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
        self.versions = {"av": av.__version__, **{name: libraries[name] for name in ("libavcodec", "libswscale")}}

    def describe(self) -> dict[str, Any]:
        """Which frames, their size and how they are encoded."""
        chosen = self.spec.sampling
        how = {"fps": chosen.fps, "count": chosen.count, "keyframes": chosen.keyframes or None,
               "times": None if chosen.times is None else "given with each input"}
        size = list(chosen.size) if isinstance(chosen.size, tuple) else chosen.size
        quality = {"quality": self.spec.quality} if self.spec.image == "jpg" else {}
        return {"name": "frames", "chosen": {name: value for name, value in how.items() if value is not None},
                "size": size, "image": self.spec.image, **quality, "partial": chosen.partial, "versions": self.versions}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each video's frames as a row, in order."""
        spool = _Spool()
        for item in items:
            try:
                yield item, self._row(item, spool)
            except HeedError as error:
                yield item, error

    def _row(self, item: Item, spool: _Spool) -> Row:
        if item.error:
            raise HeedError(item.error)
        sampling = self.spec.sampling
        if sampling.times is not None:
            sampling = replace(sampling, times=item.times or ())
        looked = self.guard.look(video_source(item), sampling, self.spec.image, self.spec.quality)
        times: list[float] = []
        places: list[tuple[int, int]] = []
        last: EncodedFrame | None = None
        for frame in looked.frames:
            times.append(frame.time)
            places.append(places[-1] if frame is last else spool.add(frame.data))
            last = frame
        if last is None:
            raise HeedError("no frame that was asked for can be decoded")
        return {
            "key": item.key, "duration": looked.info.duration, "start": looked.info.start, "width": last.width,
            "height": last.height, "note": "; ".join(looked.notes), "times": np.array(times, np.float64),
            self.spec.image: Blobs(len(places), lambda number: spool.read(*places[number])),
        }


def video_source(item: Item) -> VideoSource:
    """Where an input's bytes are."""
    return VideoSource(item.uri, item.offset, item.size if item.offset else -1)


def default_rows(source: Source) -> int:
    """Videos a shard: so many that some workers have some, and that their files come to `SHARD_BYTES` at most."""
    sizes = [item.size if item.size >= 0 else UNKNOWN_BYTES for item in source.items]
    mean = max(sum(sizes) // len(sizes), 1)
    return max(1, min(-(-len(sizes) // SHARDS), SHARD_BYTES // mean, MAX_SHARD_ROWS))


def count_frames(store: Store) -> int:
    """Frames in a store, by opening every shard."""
    return sum(int(store.shard(position).lengths("times").sum()) for position in range(len(store.records)))


class _Spool:
    """Frames of a growing shard: in memory while they are few, else in a file without a name."""

    def __init__(self) -> None:
        self.file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  (rows read it later)
        self.end = 0

    def add(self, data: bytes) -> tuple[int, int]:
        """Keep ``data``; gives its place."""
        self.file.seek(self.end)
        self.file.write(data)
        self.end += len(data)
        return self.end - len(data), len(data)

    def read(self, start: int, size: int) -> bytes:
        """What is kept at a place."""
        self.file.seek(start)
        return self.file.read(size)
