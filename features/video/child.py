"""The process that decodes for `features.video.guard`: requests on its input, frames on its output.

An alarm clock is wound at every packet. When it rings, the operating system ends the process, whatever it is doing: no
lock, no loop in a decoder and no dead file server can prevent that. While the reader of the frames is slow, the clock
stands still.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from features.errors import HeedError

START_SECONDS = 120.0
"""How long loading FFmpeg may take."""


class Clock:
    """Ends the process when nothing has happened for ``stall`` seconds; raises when ``deadline`` seconds are used."""

    def __init__(self, stall: float, deadline: float) -> None:
        self.stall, self.deadline, self.used = stall, deadline, 0.0
        self.since = time.monotonic()

    def wind(self) -> None:
        """Something has happened, or goes on after `stop`."""
        now = time.monotonic()
        self.used += now - self.since
        self.since = now
        if self.used > self.deadline:
            raise HeedError(f"decoding took more than the {self.deadline:g} s that it may take")
        signal.setitimer(signal.ITIMER_REAL, self.stall)

    def stop(self) -> None:
        """Waiting for somebody else."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.used += time.monotonic() - self.since

    def go_on(self) -> None:
        """The waiting is over."""
        self.since = time.monotonic()
        self.wind()


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, START_SECONDS)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the frames
    import av  # noqa: F401
    import PIL.Image  # noqa: F401

    from features.video.container import watchers

    signal.setitimer(signal.ITIMER_REAL, 0)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        clock = Clock(request["stall"], request["deadline"])
        watchers[:] = [clock.wind]
        try:
            clock.wind()
            for message, payload in _answer(request):
                clock.stop()
                _write(out, message, payload)
                clock.go_on()
            last: dict[str, Any] = {"end": True}
        except HeedError as error:
            last = {"error": str(error)}
        except MemoryError:
            last = {"error": "needs more memory than there is"}
        except Exception as error:  # a decoder's binding raises whatever a damaged file trips over
            last = {"error": f"cannot be decoded: {error!r}"}
        clock.stop()
        _write(out, last, b"")


def _write(out: io.BufferedIOBase, message: dict[str, Any], payload: bytes) -> None:
    out.write(json.dumps({**message, "bytes": len(payload)}).encode() + b"\n" + payload)
    out.flush()


def _answer(request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    from features.video.container import VideoSource
    from features.video.info import probe
    from features.video.sampling import Sampling, sampled
    from features.video.sound import audio_blocks

    source = VideoSource(**request["source"])
    if "rate" in request:
        for block in audio_blocks(source, request["rate"]):
            yield {}, block.tobytes()
        return
    info = probe(source)
    yield {"info": asdict(info)}, b""
    if "sampling" not in request:
        return
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in request["sampling"].items()}
    notes: list[str] = []
    last = None
    for frame in sampled(source, info, Sampling(**options), notes):
        if frame is last:
            yield {"again": True}, b""
            continue
        last, (height, width) = frame, frame.image.shape[:2]
        told = {"time": frame.time, "width": width, "height": height}
        yield told, encode(frame.image, request["image"], request["quality"])
    yield {"notes": notes}, b""


def encode(image: Any, form: str, quality: int) -> bytes:
    """(height, width, 3) uint8 as a JPEG or PNG file's bytes, or as they are where ``form`` is ""."""
    if not form:
        return image.tobytes()
    from PIL import Image

    file = io.BytesIO()
    options: dict[str, Any] = {"quality": quality} if form == "jpg" else {"compress_level": 6}
    Image.fromarray(image).save(file, {"jpg": "JPEG", "png": "PNG"}[form], **options)
    return file.getvalue()
