"""One video's frames as a store keeps them: image files and their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.errors import HeedError
from features.images import decode_image
from features.video.frames import CLOSE, Frame

IMAGE_FIELDS = ("jpg", "png")
"""The field that holds the pictures is named for what they are, as WebDataset decodes a member by its ending."""


@dataclass(frozen=True)
class StoredFrames:
    """The frames chosen of one video, in time order."""

    times: np.ndarray
    """(n,) float64: seconds from the file's start at which each begins to be shown. A frame that was shown at several
    of the times asked for is there as often."""
    files: Sequence[bytes]
    """n JPEG or PNG files, read when they are asked for."""
    duration: float
    """Seconds of the whole video, by its own word."""
    start: float = 0.0
    """What the file's clock showed at time 0: a timestamp in the file is a time here plus this."""
    note: str = ""
    """What was damaged, where that was to be passed over."""

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> Frame:
        return Frame(float(self.times[index]), decode_image(self.files[index]))

    def at(self, times: Iterable[float]) -> Iterator[Frame]:
        """For each of ``times`` the stored frame shown then: the last that begins by that time, or else the first.

        Times one after the other that one frame is shown at give the same `Frame`.
        """
        if not len(self):
            raise HeedError("there are no frames")
        frame: Frame | None = None
        before = -1
        for time in times:
            place = max(int(np.searchsorted(self.times, time + CLOSE, side="right")) - 1, 0)
            if frame is None or place != before:
                frame, before = self[place], place
            yield frame

    def checked(self) -> StoredFrames:
        """Return self, or raise `HeedError` naming the first inconsistency."""
        if self.times.ndim != 1 or len(self.times) != len(self.files):
            raise HeedError(f"there are {len(self.files)} pictures and times of shape {self.times.shape}")
        if not np.isfinite(self.times).all() or (np.diff(self.times) < 0).any():
            raise HeedError("times are not finite and ascending")
        if not np.isfinite([self.duration, self.start]).all() or self.duration < 0:
            raise HeedError("duration or start is not a finite number of seconds")
        return self
