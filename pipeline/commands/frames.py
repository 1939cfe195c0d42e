"""`heed extract frames`.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pipeline.commands.options import PlaceOption


@dataclass(frozen=True)
class ExtractFrames:
    """Turn videos into a store of frames, one row a video. Run again, an interrupted job goes on where it stopped.

    Say which frames with one of --fps, --count, --keyframes and --times. Exit status 3 says that the job is complete
    but some videos failed; they are listed with their reasons.
    """

    # A folder, a list (.jsonl, .csv, .parquet with columns key, path and optional times), or .tar files (* allowed);
    # a path or a URL (s3://…, https://…).
    source: Positional[str]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # Frames at 0, 1/fps, 2/fps, … seconds.
    fps: float | None = None
    # This many frames, the middles of as many equal parts.
    count: int | None = None
    # The frames that are coded without others.
    keyframes: bool = False
    # Frames at the seconds that the list gives for each video in its column times.
    times: bool = False
    # Pixels of the short side, or width and height; none keeps the video's.
    size: tuple[int, ...] = ()
    # jpg, or png for no loss at five to ten times the bytes.
    image: Literal["jpg", "png"] = "jpg"
    # Of a JPEG, 1 to 95.
    quality: int = 90
    # Store what can be decoded of a damaged or cut-off video, with a note, where otherwise it fails.
    partial: bool = False
    # webdataset to exchange, arrow to read from in any order.
    format: Literal["webdataset", "arrow"] = "webdataset"
    # Videos a shard; 0 takes 1 to 512, so that a shard is made of 1 GB of videos at most.
    shard_rows: int = 0
    # A video fails when nothing has been read or decoded of it for so many seconds.
    stall: float = 10.0
    # A video fails when decoding it has taken so many seconds.
    deadline: float = 4 * 3600.0
    # Decoding threads of a worker; 0 takes one, or one for each CPU core where there is one worker. The frames of a
    # sound video do not depend on it.
    threads: int = 0
    # Workers; 0 takes one for each CPU core.
    actors: int = 0
    # A Ray cluster to run on (host:port, or auto); it must share this file system, or source and store are URLs. Empty:
    # this machine.
    address: str = ""
    # Work in this process, without Ray.
    inline: bool = False
    # Try videos again that failed in an earlier run.
    retry_failed: bool = False
    # Also extract what the source has got since the store was begun, into new shards; those that are there stay.
    append: bool = False

    def run(self, again: Collection[int] = ()) -> int:
        """Extract; the shards in ``again`` although they are there."""
        from features.errors import HeedError
        from features.video.sampling import Sampling
        from pipeline.frames import ReadFrames, count_frames, default_rows
        from pipeline.identity import IDENTITY_FILE
        from pipeline.job import run_job
        from pipeline.places import place
        from pipeline.repair import told
        from pipeline.sources import VIDEO_SUFFIXES, open_source
        from pipeline.store import Store

        if len(self.size) > 2:
            raise HeedError(f"--size is the short side, or width and height, not {len(self.size)} numbers.")
        size = None if not self.size else self.size[0] if len(self.size) == 1 else (self.size[0], self.size[1])
        source = open_source(self.source, VIDEO_SUFFIXES, "videos")
        store = place(self.store)
        begun = (store / IDENTITY_FILE).is_file()
        rows = self.shard_rows or (0 if begun else default_rows(source))
        alone = self.inline or self.actors == 1 or len(source.items) <= rows
        sampling = Sampling(self.fps, self.count, self.keyframes, () if self.times else None, size, self.partial,
                            self.threads or (0 if alone else 1))
        spec = ReadFrames(sampling, self.image, self.quality, self.stall, self.deadline)
        summary = run_job(spec, source, store, format=self.format, shard_rows=rows, retry_failed=self.retry_failed,
                          actors=self.actors, address=self.address, inline=self.inline, append=self.append,
                          command=told("extract frames", self), again=again, unit="videos")
        print(summary.text())
        if isinstance(store, Path) and not summary.lost:
            frames = count_frames(Store.open(store))
            whole = summary.extracted == summary.inputs and summary.seconds
            print(f"{frames} frames{f', {frames / summary.seconds:.1f} a second' if whole else ''}.")
        return summary.status
