"""Opening a video: local path, URL or a member of a tar; and FFmpeg's errors as sentences."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any

from features.errors import HeedError

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer
    from av.stream import Stream

MAX_PIXELS = 40_000_000
"""Largest width x height that is decoded, above 8K: a damaged header may promise anything."""

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,nut,mxf,gif,h264,hevc,m4v,ivf,obu,"
    "dv,wtv,yuv4mpegpipe,wav,mp3,aac,flac,w64,aiff,ac3,au,caf"
)
"""The only containers tried. FFmpeg knows playlists too, which make it open other files and addresses."""


THREADED = frozenset(["h264", "hevc", "vp9", "av1", "libdav1d"])
"""FFmpeg's decoders that are worth several threads and tell of damage with them. VP8 and MPEG-4 part 2 patch some of it
up without a word, and differently from run to run; those and other old ones have one thread."""
ROUNDED = Fraction(1, 1_000_000)
"""FFmpeg tells when a file starts in microseconds, and its streams' starts exactly."""


@dataclass(frozen=True)
class VideoSource:
    """Where a video's bytes are, when that is not a whole file."""

    uri: str
    """A path, or a URL that fsspec can open."""
    offset: int = 0
    """Where the bytes begin, for a member of a tar."""
    size: int = -1
    """How many they are; -1 to the end of the file."""


VideoPath = str | os.PathLike[str] | VideoSource


@dataclass(frozen=True)
class OpenVideo:
    """An open container with the picture stream that is looked at."""

    container: InputContainer
    stream: VideoStream
    start: Fraction
    """What the file's clock shows at time 0."""
    picky: bool = False
    """Whether the decoder refuses what it would otherwise patch up."""

    def seconds(self, pts: int) -> float:
        """Time of a presentation timestamp of the stream."""
        return float(pts * _time_base(self.stream) - self.start)

    def pts(self, seconds: float) -> int:
        """The presentation timestamp at or before a time."""
        return int((Fraction(seconds) + self.start) // _time_base(self.stream))


@contextmanager
def open_video(path: VideoPath, threads: int = 1, picky: bool = False) -> Iterator[OpenVideo]:
    """Open a file's pictures for decoding with ``threads`` threads (0: one a core).

    Of several picture streams FFmpeg's choice is taken: the default one, the largest, and no cover image. Raises
    `HeedError` with the reason alone (the caller knows the name): it is not there, is empty, is no video or has sound
    only.
    """
    with open_container(path) as container:
        streams = [stream for stream in container.streams.video if not stream.disposition.value & _ATTACHED_PICTURE]
        if not streams:
            others = sorted({stream.type for stream in container.streams})
            raise HeedError("the file has no pictures" + (f", only {' and '.join(others)}" if others else ""))
        best: Any = container.streams.best("video")
        stream = best if best in streams else streams[0]
        if stream.codec_context is None:
            raise HeedError("its pictures are in a format that this FFmpeg cannot decode")
        if stream.width * stream.height > MAX_PIXELS:
            raise HeedError(f"its pictures are {stream.width} x {stream.height} pixels, more than {MAX_PIXELS:,}")
        stream.thread_type = "AUTO"
        stream.thread_count = threads if stream.codec_context.name in THREADED else 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if picky else {})
        yield OpenVideo(container, stream, clock_start(container), picky)


def clock_start(container: InputContainer) -> Fraction:
    """What the file's clock shows at time 0: its first timestamp, where that is later than zero."""
    rounded = Fraction(max(container.start_time or 0, 0), 1_000_000)
    exact = [stream.start_time * _time_base(stream) for stream in container.streams if stream.start_time]
    return min([rounded, *exact], key=lambda start: (abs(start - rounded) > ROUNDED, start == rounded))


@contextmanager
def open_container(path: VideoPath) -> Iterator[InputContainer]:
    """Open a file for reading; every error of FFmpeg or the disk in the block becomes a `HeedError`."""
    av = pyav()
    source = path if isinstance(path, VideoSource) else VideoSource(os.fspath(path))
    with ExitStack() as stack:
        try:
            file: Any = f"file:{source.uri}"
            if "://" in source.uri or source.offset or source.size >= 0:
                file = stack.enter_context(_opened(source))
            elif os.stat(source.uri).st_size == 0:  # noqa: PTH116
                raise HeedError("the file is empty (0 bytes)")
            alive()
            options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
            container = stack.enter_context(av.open(file, container_options=options))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise HeedError(reason(error)) from error
        try:
            yield container
        except (av.FFmpegError, OSError) as error:
            raise HeedError(reason(error)) from error


def pyav() -> ModuleType:
    """The module `av`; `HeedError` where PyAV is not installed."""
    try:
        import av
    except ImportError:
        raise HeedError("videos need PyAV: pip install 'heed[video]'") from None
    return av


watchers: list[Callable[[], None]] = []
"""Called whenever reading goes on; a guarded process winds its alarm clock here."""


def alive() -> None:
    """Tell the watchers that reading goes on."""
    for watcher in watchers:
        watcher()


def reason(error: BaseException) -> str:
    """FFmpeg's or the disk's error in one sentence without a name."""
    import av

    if isinstance(error, (av.InvalidDataError, av.EOFError, av.ArgumentError)):
        return "the file is no video that FFmpeg can read, or its header is damaged or cut off"
    return f"cannot be read: {_words(error)}"


def _words(error: BaseException) -> str:
    """What an error says, without the passwords and signatures that addresses carry."""
    words = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return re.sub(r"(\w+://)(?:[^/@\s]*@)?([^\s?'\")]*)(?:\?[^\s'\")]*)?", r"\1\2", words)


def _time_base(stream: Stream) -> Fraction:
    return stream.time_base or Fraction(1, 1_000_000)


@contextmanager
def _opened(source: VideoSource) -> Iterator[Any]:
    if "://" in source.uri:
        import fsspec

        try:
            opened = fsspec.open(source.uri, "rb").open()
        except Exception as error:  # each file system has errors of its own
            raise OSError(_words(error)) from error
        with opened as file:
            yield _Window(file, source.offset, source.size)
    else:
        with open(source.uri, "rb") as file:  # noqa: PTH123
            yield _Window(file, source.offset, source.size)


class _Window(io.RawIOBase):
    """A stretch of a file as a file."""

    def __init__(self, file: Any, offset: int, size: int) -> None:
        self.file, self.offset = file, offset
        end = file.seek(0, os.SEEK_END)
        self.size = max(0, end - offset if size < 0 else min(size, end - offset))
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.place)
        try:
            self.file.seek(self.offset + self.place)
            data = self.file.read(left if count < 0 else min(count, left))
        except Exception as error:  # each file system has errors of its own
            raise OSError(_words(error)) from error
        self.place += len(data)
        return data


_ATTACHED_PICTURE = 1 << 10
