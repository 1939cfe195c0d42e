"""`heed scenes`.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from features.errors import HeedError


@dataclass(frozen=True)
class Scenes:
    """Render the scenes dataset: pictures and videos with their truth, from attributes and captions to moments."""

    # Folder to write; run again, an interrupted rendering goes on.
    out: Positional[Path]
    # Pictures to render; in every ten, eight are for training, one for validation and one for testing.
    images: int = 1000
    # Side of a picture in pixels.
    size: int = 160
    # What is in the pictures: 3 to 8 objects, or objects and signs to read, or a few (one or two) large objects.
    flavour: Literal["objects", "signs", "few"] = "objects"
    # Everything follows from the seed and a picture's or video's number.
    seed: int = 0
    # Videos to render, with sound; split like the pictures.
    videos: int = 0
    # Length of a video, even; one longer than about 30 seconds is made of several shots.
    video_seconds: int = 24
    # Side of a video in pixels, even.
    video_size: int = 112
    # Frames a second.
    video_fps: int = 8
    # Processes that render; by default one a core where there is enough to do. What they write is always the same.
    workers: int | None = None

    def run(self) -> int:
        """Render."""
        from pipeline.progress import JobProgress
        from pipeline.scenes.rendering import default_workers

        if self.images < 1 and self.videos < 1:
            raise HeedError(f"{self.images} pictures and {self.videos} videos are nothing to render; ask for some.")
        if self.images > 0:
            from pipeline.scenes.dataset import write_scenes

            with JobProgress("rendering", self.images, "images") as progress:
                write_scenes(self.out, self.images, self.seed, self.size, lambda done, _: progress.update(done),
                             self.flavour, self.workers or default_workers(self.images, worth=200))
            print(f"{self.out}: {self.images} scenes of {self.size} x {self.size} pixels.")
        if self.videos > 0:
            from pipeline.scenes.video import write_videos

            with JobProgress("rendering", self.videos, "videos") as progress:
                write_videos(self.out, self.videos, self.seed, self.video_seconds, self.video_size, self.video_fps,
                             lambda done, _: progress.update(done),
                             self.workers or default_workers(self.videos, worth=5))
            print(f"{self.out}: {self.videos} videos of {self.video_seconds} seconds, "
                  f"{self.video_size} x {self.video_size} pixels.")
        return 0
