"""`heed extract …`: images and videos into stores.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from features.detectors.detector import DetectorOptions
from pipeline.commands.jobs import JobOptions
from pipeline.commands.options import PlaceOption


@dataclass(frozen=True)
class ExtractRegions:
    """Turn images into a store of region features. Run again, an interrupted job goes on where it stopped.

    Exit status 3 says that the job is complete but some inputs failed; they are listed with their reasons.
    """

    # A folder, a list (.jsonl, .csv, .parquet with columns key, path and optional boxes), or .tar files (* allowed);
    # a path or a URL (s3://…, https://…).
    source: Positional[str]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # Which detector: torchvision, scenes, bottom-up or detectron2 (docs/detectors.md).
    detector: str = "torchvision"
    # Number format and workers.
    job: Annotated[JobOptions, arg(name="")] = field(default_factory=JobOptions)
    # What the detector looks for.
    options: Annotated[DetectorOptions, arg(name="")] = field(default_factory=DetectorOptions)
    # Images the detector sees at once.
    batch: int = 8
    # Images with more pixels fail, unread.
    max_pixels: int = 100_000_000

    def run(self, again: Collection[int] = ()) -> int:
        """Extract; the shards in ``again`` although they are there."""
        from pipeline.detect import DetectRegions
        from pipeline.job import run_job
        from pipeline.repair import told
        from pipeline.sources import open_source

        source = open_source(self.source)
        spec = DetectRegions(self.detector, self.options, self.job.dtype, self.batch, self.max_pixels)
        summary = run_job(spec, source, self.store, format=self.job.format, shard_rows=self.job.shard_rows,
                          retry_failed=self.job.retry_failed, actors=self.job.actors, address=self.job.address,
                          inline=self.job.inline, append=self.job.append, command=told("extract regions", self),
                          again=again)
        print(summary.text())
        return summary.status
