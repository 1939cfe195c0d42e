"""`heed extract sound`: videos and sound files into stores of a feature for each clip of sound.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from features.encoders.encoder import EncoderOptions
from pipeline.commands.clips import absolute
from pipeline.commands.jobs import JobOptions
from pipeline.commands.options import PlaceOption


@dataclass(frozen=True)
class ExtractSound:
    """Turn videos' sound into a store of one feature for each clip, in step with `heed extract clips`.

    Exit status 3 says that the job is complete but some files failed; they are listed with their reasons.
    """

    # A folder of videos or sounds, a list (.jsonl, .csv, .parquet with columns key and path) or .tar files (* allowed),
    # as a path or a URL.
    source: Positional[str]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # logmel:MELS or logmel:MELS-htk (mean and deviation of each band), or transformers:FOLDER (AST, wav2vec 2.0,
    # HuBERT, WavLM, CLAP, Whisper); docs/features.md.
    encoder: str = "logmel:64"
    # Length of a clip.
    clip_seconds: float = 2.0
    # A rest at the end is a clip if it is at least half as long as one, always (keep), or never (drop).
    last: Literal["half", "keep", "drop"] = "half"
    # Divide each feature by its length.
    l2: bool = False
    # What becomes of a video without sound: features of zeros, so that it joins with the pictures' store, or a failure.
    without_sound: Literal["zeros", "fail"] = "zeros"
    # Clips the encoder hears at once.
    batch: int = 16
    # Files decoded at once, while the encoder works.
    decoders: int = 2
    # Where the encoder runs.
    options: Annotated[EncoderOptions, arg(name="")] = field(default_factory=EncoderOptions)
    # Number format and workers.
    job: Annotated[JobOptions, arg(name="")] = field(default_factory=JobOptions)

    def run(self, again: Collection[int] = ()) -> int:
        """Extract; the shards in ``again`` although they are there."""
        from features.errors import HeedError
        from pipeline.frames import default_rows
        from pipeline.identity import IDENTITY_FILE
        from pipeline.job import run_job
        from pipeline.repair import told
        from pipeline.sound_features import SOUND_SUFFIXES, EncodeSound
        from pipeline.sources import open_source

        if min(self.batch, self.decoders) < 1:
            raise HeedError("--batch and --decoders are numbers from 1.")
        source = open_source(self.source, SOUND_SUFFIXES, "videos or sounds")
        rows = self.job.shard_rows or (0 if (self.store / IDENTITY_FILE).is_file() else default_rows(source))
        spec = EncodeSound(absolute(self.encoder), self.options, self.clip_seconds, self.last, self.l2,
                           self.without_sound, self.job.dtype, self.batch, self.decoders)
        summary = run_job(spec, source, self.store, format=self.job.format, shard_rows=rows,
                          retry_failed=self.job.retry_failed, actors=self.job.actors, address=self.job.address,
                          inline=self.job.inline, append=self.job.append, command=told("extract sound", self),
                          again=again, unit="files")
        print(summary.text())
        return summary.status
