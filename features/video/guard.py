"""Videos decoded in a process of its own, so that no file can hang, crash or fill the process that asks.

    with Guard() as guard:
        looked = guard.look("film.mp4", Sampling(fps=1, size=224))
        for frame in looked.frames: …
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

import features
from features.errors import HeedError
from features.video.container import VideoPath, VideoSource
from features.video.frames import Frame
from features.video.info import VideoInfo
from features.video.sampling import Sampling

ROOT = Path(features.__file__).parents[1]


@dataclass(frozen=True)
class EncodedFrame:
    """One picture of a video as an image file."""

    time: float
    """Seconds from the file's start at which it begins to be shown."""
    width: int
    height: int
    data: bytes


@dataclass
class Looked:
    """A video that is being looked at."""

    info: VideoInfo
    frames: Iterator[Any]
    """`Frame` or `EncodedFrame`, as they are decoded; raises `HeedError` where no more can be."""
    notes: list[str] = field(default_factory=list)
    """What is damaged, once ``frames`` has ended, where `Sampling.partial` lets it."""


class Guard:
    """A process that decodes, started when there is work and again when it has ended itself.

    It ends with the block, or with whoever asks.
    """

    def __init__(self, stall: float = 10.0, deadline: float = 4 * 3600.0) -> None:
        """A video fails where nothing can be read or decoded of it for ``stall`` seconds, or ``deadline`` are used."""
        self.stall, self.deadline = stall, deadline
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._asking = False

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process, self._asking = self._process, None, False
        if process is not None:
            process.kill()
            process.communicate()
        if self._said is not None:
            self._said.close()
            self._said = None

    def probe(self, path: VideoPath) -> VideoInfo:
        """`features.video.probe`, guarded."""
        info = None
        for message, _ in self._ask(path, {}):
            info = VideoInfo(**message["info"])
        assert info is not None
        return info

    def read_audio(self, path: VideoPath, rate: int) -> np.ndarray:
        """`features.video.read_audio`, guarded."""
        blocks = list(self.audio_blocks(path, rate))
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def audio_blocks(self, path: VideoPath, rate: int) -> Generator[np.ndarray, None, None]:
        """`features.video.sound.audio_blocks`, guarded: what `read_audio` gives, in pieces.

        Close what is not read to its end before another thread uses the guard.
        """
        for _, payload in self._ask(path, {"rate": rate}):
            yield np.frombuffer(payload, np.float32)

    def look(
        self, path: VideoPath, sampling: Sampling, image: Literal["", "jpg", "png"] = "", quality: int = 90
    ) -> Looked:
        """Begin to decode a video's frames; ``image`` gives them as files of that kind instead of as pixels.

        Raises `HeedError` with the reason alone where the file is no video. One video is looked at at a time: the next
        request gives up what is left of this one.
        """
        answers = self._ask(path, {"sampling": asdict(sampling), "image": image, "quality": quality})
        first, _ = next(answers)
        notes: list[str] = []
        return Looked(VideoInfo(**first["info"]), self._frames(answers, bool(image), notes), notes)

    @staticmethod
    def _frames(answers: Iterator[tuple[dict[str, Any], bytes]], encoded: bool, notes: list[str]) -> Iterator[Any]:
        frame: EncodedFrame | Frame | None = None
        for message, payload in answers:
            if "notes" in message:
                notes += message["notes"]
                continue
            if encoded and "again" not in message:
                frame = EncodedFrame(message["time"], message["width"], message["height"], payload)
            elif "again" not in message:
                pixels = np.frombuffer(payload, np.uint8).reshape(message["height"], message["width"], 3)
                frame = Frame(message["time"], pixels.copy())
            yield frame

    def _ask(self, path: VideoPath, request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The messages and payloads that answer one request."""
        source = path if isinstance(path, VideoSource) else VideoSource(os.fspath(path))
        if "://" not in source.uri:
            source = VideoSource(os.path.abspath(source.uri), source.offset, source.size)  # noqa: PTH100
        request = {**request, "source": asdict(source), "stall": self.stall, "deadline": self.deadline}
        if self._asking:
            self.close()
        process = self._start()
        self._asking = True
        assert process.stdin is not None and process.stdout is not None
        done = False
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            while True:
                if process is not self._process:
                    raise HeedError("was given up for another video before its end")
                line = process.stdout.readline()
                message = json.loads(line) if line.endswith(b"\n") else None
                payload = process.stdout.read(message["bytes"]) if message else b""
                if message is None or len(payload) < message["bytes"]:
                    raise HeedError(self._ended(process))
                done = "end" in message or "error" in message
                if "error" in message:
                    raise HeedError(message["error"])
                if done:
                    return
                yield message, payload
        except BrokenPipeError:
            raise HeedError(self._ended(process)) from None
        finally:
            if process is self._process:
                self._asking = False
                if not done:
                    self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._said = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from features.video.child import main; main()"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        return self._process

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        """In words, why the process is no more."""
        code = process.wait()
        if code == -signal.SIGALRM:
            return f"nothing could be read or decoded for {self.stall:g} s; given up"
        if code < 0:
            return f"the decoder crashed ({signal.Signals(-code).name})"
        said = b""
        if self._said is not None:
            self._said.seek(0)
            said = self._said.read()
        return f"the decoder ended with status {code}: {said.decode(errors='replace').strip()[-300:]}"
