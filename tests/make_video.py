"""Small videos with frames that tell their number, for the tests of everything that reads videos."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

STEP = 8
"""Grey levels from one frame's number to the next."""
SOUND_RATE = 16000


def grey(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """(height, width, 3) uint8 of one grey that tells a number below 30."""
    return np.full((size[1], size[0], 3), STEP * (number + 1), np.uint8)


def number_of(image: np.ndarray) -> int:
    """Inverse of `grey`, coding losses allowed."""
    return round(float(image.mean()) / STEP) - 1


def make_video(
    path: Path, milliseconds: Sequence[int], *, draw: Callable[[int], np.ndarray] = grey, codec: str = "libx264",
    gop: int = 12, turned: tuple[int, bool, bool] | None = None, sound: np.ndarray | None = None, sound_at: float = 0.0,
    sound_codec: str = "pcm_s16le", options: dict[str, str] | None = None, **container: Any,
) -> Path:
    """Write a video whose frame i is ``draw(i)``, shown from ``milliseconds[i]`` on.

    ``turned`` is what the display matrix says: degrees anticlockwise, flipped left to right, upside down. ``sound`` is
    (samples,) float at `SOUND_RATE`, heard from ``sound_at`` seconds on. No pictures are made without milliseconds.
    """
    av = pytest.importorskip("av", reason="videos need PyAV")
    with av.open(str(path), "w", **container) as out:
        streams = []
        if milliseconds:
            height, width = draw(0).shape[:2]
            video = out.add_stream(codec, rate=25, options=options or {})
            video.width, video.height, video.pix_fmt, video.gop_size = width, height, "yuv420p", gop
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
            if turned:
                video.set_display_rotation(*turned)
            streams.append(video)
        if sound is not None:
            heard = out.add_stream(sound_codec, rate=SOUND_RATE, layout="mono")
            streams.append(heard)
            frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            frame.pts = round(sound_at * SOUND_RATE)
            for piece in _pieces(frame, heard):
                out.mux(heard.encode(piece))
        for number, shown in enumerate(milliseconds):
            picture = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            picture.pts, picture.time_base = shown, Fraction(1, 1000)
            out.mux(video.encode(picture))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


def _pieces(frame: Any, stream: Any) -> list[Any]:
    """A long frame of sound in pieces that the encoder takes."""
    import av

    fifo = av.AudioFifo()
    first = frame.pts
    frame.pts = None
    fifo.write(frame)
    size, pieces = stream.codec_context.frame_size or 1024, []
    while piece := fifo.read(size, partial=True):
        piece.pts, piece.time_base = first, Fraction(1, SOUND_RATE)
        first += piece.samples
        pieces.append(piece)
    return pieces


def promise(path: Path, seconds: int) -> None:
    """Let the header and the tags of a Matroska file promise another duration."""
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # the element Duration, a float of eight bytes, in milliseconds
    data = data[:at] + struct.pack(">d", seconds * 1000) + data[at + 8:]
    tag = b"%02d:%02d:%02d.000000000" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    path.write_bytes(re.sub(rb"\d\d:\d\d:\d\d\.\d{9}", tag, data))
