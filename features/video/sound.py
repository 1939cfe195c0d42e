"""A file's sound as samples at one rate, in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import HeedError
from features.video.container import VideoPath, alive, clock_start, open_container, reason

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

GAP_SECONDS = 0.1
"""A longer hole in the timestamps is filled with silence; shorter ones are a matter of rounding."""
MAX_GAP_SECONDS = 24 * 3600.0
"""A longer hole is a damaged timestamp."""


def read_audio(path: VideoPath, rate: int) -> np.ndarray:
    """A file's sound, (samples,) float32 mono at ``rate`` samples a second, full scale at 1.

    Sample i is heard i / rate seconds from the file's start, as `Frame.time` counts: silence stands where the sound
    begins later, or pauses. Channels are averaged, as librosa does. Two hours at 16 kHz take 460 MB; `audio_blocks`
    gives the same in pieces. Raises `HeedError` with the reason alone: no sound, or a part that cannot be decoded.
    """
    blocks = list(audio_blocks(path, rate))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def audio_blocks(path: VideoPath, rate: int) -> Iterator[np.ndarray]:
    """What `read_audio` gives, in pieces, as they are decoded."""
    with open_container(path) as container:
        track = _Track(rate)
        for time, frame in _sound(container):
            yield from track.add(time, frame)
        yield from track.flush()


def _sound(container: InputContainer) -> Iterator[tuple[float | None, AudioFrame]]:
    """Every frame of the sound with its time, None where it has none."""
    import av

    stream: Any = container.streams.best("audio")
    if stream is None or stream.codec_context is None:
        raise HeedError("the file has no sound" if stream is None else "its sound is in a format FFmpeg cannot decode")
    start, time = clock_start(container), None
    packets = container.demux(stream)
    while True:
        alive()
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except av.FFmpegError as error:
            if time is None:
                continue
            raise HeedError(f"the sound at {time:.2f} s cannot be decoded: {reason(error)}") from error
        if packet is None:
            if time is None:
                raise HeedError("the file's sound cannot be decoded")
            return
        for frame in frames:
            known = frame.pts is not None and frame.time_base
            time = float(frame.pts * frame.time_base - start) if known else time or 0.0
            yield time if known else None, frame


class _Track:
    """Puts frames of sound one after the other at a rate, keeping step with their times."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.given = 0
        """Samples given so far, and to be left out where negative."""
        self.end: float | None = None
        """Where the last frame ended, in seconds."""
        self.resampler: Any = None
        self.form: Any = None

    def add(self, time: float | None, frame: AudioFrame) -> Iterator[np.ndarray]:
        """The samples that are ready once ``frame`` is known."""
        import av

        begin = time if time is not None else self.end or 0.0
        if self.end is None or GAP_SECONDS < begin - self.end < MAX_GAP_SECONDS:
            yield from self.flush()
            silence = round(begin * self.rate) - self.given
            if silence < 0:
                self.given = silence
            elif silence:
                yield self._counted(np.zeros(silence, np.float32))
            self.end = begin
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self.form:
            yield from self.flush()
            self.form, self.resampler = form, av.AudioResampler(format="fltp", rate=self.rate)
        self.end += frame.samples / frame.sample_rate
        frame.pts = None
        yield from self._mixed(self.resampler.resample(frame))

    def flush(self) -> Iterator[np.ndarray]:
        """What the resampler still holds."""
        if self.resampler is not None:
            yield from self._mixed(self.resampler.resample(None))
        self.resampler = self.form = None

    def _mixed(self, frames: list[AudioFrame]) -> Iterator[np.ndarray]:
        for frame in frames:
            samples = frame.to_ndarray().mean(axis=0, dtype=np.float32)
            left_out = min(max(-self.given, 0), len(samples))
            self.given += left_out
            if left_out < len(samples):
                yield self._counted(samples[left_out:])

    def _counted(self, samples: np.ndarray) -> np.ndarray:
        self.given += len(samples)
        return samples
