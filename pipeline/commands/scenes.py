"""`heed scenes`.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class Scenes:
    """Render the scenes dataset: pictures with true boxes, attributes, captions and phrases."""

    # Folder to write; run again, an interrupted rendering goes on.
    out: Positional[Path]
    # Pictures to render; in every ten, eight are for training, one for validation and one for testing.
    images: int = 1000
    # Side of a picture in pixels.
    size: int = 160
    # Everything follows from the seed and a picture's number.
    seed: int = 0

    def run(self) -> int:
        """Render."""
        from pipeline.progress import JobProgress
        from pipeline.scenes.dataset import write_scenes

        with JobProgress("rendering", self.images, "images") as progress:
            write_scenes(self.out, self.images, self.seed, self.size, lambda done, _: progress.update(done))
        print(f"{self.out}: {self.images} scenes of {self.size} x {self.size} pixels.")
        return 0
