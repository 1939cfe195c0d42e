"""`heed extract clips`: videos into stores of a feature for each clip.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from features.encoders.encoder import EncoderOptions
from features.errors import HeedError
from pipeline.commands.jobs import JobOptions
from pipeline.commands.options import PlaceOption

QVHIGHLIGHTS = {"slowfast": "slowfast:8x8_r50", "clip": "clip:vit-b-32"}
"""The published video features by family, in the order in which Moment-DETR joins them."""


@dataclass(frozen=True)
class ExtractClips:
    """Turn videos into a store of one feature for each clip of two seconds. Run again, it goes on where it stopped.

    With several encoders each gets a store of its own, STORE/FAMILY; training joins them. Exit status 3 says that the
    job is complete but some videos failed; they are listed with their reasons.
    """

    # A folder of videos, a list (.jsonl, .csv, .parquet with columns key and path) or .tar files (* allowed), as a path
    # or a URL; or a store of frames (heed extract frames).
    source: Positional[str]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # FAMILY:NAME=WEIGHTS: timm, clip, torchvision, slowfast or transformers; its own name or a path; a file of weights
    # or "random" (docs/features.md). Several are extracted one after the other.
    encoder: tuple[str, ...] = ()
    # qvhighlights: as the published features were made, slowfast:8x8_r50 and clip:vit-b-32 unless named with weights.
    preset: Literal["none", "qvhighlights"] = "none"
    # Length of a clip.
    clip_seconds: float = 2.0
    # A rest at the end is a clip if it is at least half as long as one, always (keep), or never (drop).
    last: Literal["half", "keep", "drop"] = "half"
    # Windows of a clip that the encoder looks at, whose features are averaged; 0: one image, or as many windows of a
    # video encoder as keep its frame rate.
    windows: int = 0
    # Divide each feature by its length.
    l2: bool = False
    # Windows the encoder sees at once; 0 is 32 of images and 4 of videos.
    batch: int = 0
    # Videos decoded at once, while the encoder works.
    decoders: int = 2
    # Where the encoder runs.
    options: Annotated[EncoderOptions, arg(name="")] = field(default_factory=EncoderOptions)
    # Number format and workers.
    job: Annotated[JobOptions, arg(name="")] = field(default_factory=JobOptions)

    def run(self, again: Collection[int] = ()) -> int:
        """Extract; the shards in ``again`` although they are there."""
        names = self._names()
        if len(names) == 1:
            return replace(self, encoder=tuple(names.values()))._run(again)
        return max([replace(self, encoder=(name,), store=self.store / family)._run(again)
                    for family, name in names.items()], key=lambda status: (status == 1, status))

    def _names(self) -> dict[str, str]:
        """The encoders by family; `HeedError` where none is named or the preset does not know one."""
        from features.encoders import parse_name

        if self.windows < 0 or self.batch < 0 or self.decoders < 1:
            raise HeedError("--windows and --batch are numbers from 0, --decoders one from 1.")
        names = {parse_name(name).family: absolute(name) for name in self.encoder}
        if len(names) < len(self.encoder):
            raise HeedError("Two of the encoders are of one family; give each a store of its own by a command each.")
        if self.preset == "none":
            if not names:
                raise HeedError("Name an encoder, for example --encoder clip:vit-b-32 or --encoder "
                                "timm:vit_small_patch16_224 (docs/features.md lists them), or --preset qvhighlights.")
            return names
        wrong = [name for family, name in names.items() if family not in QVHIGHLIGHTS]
        if wrong or (self.clip_seconds, self.last, self.windows, self.l2) != (2.0, "half", 0, False):
            raise HeedError("The preset qvhighlights is SlowFast and CLIP on clips of 2 s, as published: leave out "
                            f"{f'--encoder {wrong[0]}' if wrong else '--clip-seconds, --last, --windows and --l2'}, or "
                            "the preset.")
        return {family: names[family] for family in QVHIGHLIGHTS if family in names} or QVHIGHLIGHTS

    def _run(self, again: Collection[int]) -> int:
        from pipeline.clip_features import EncodeClips
        from pipeline.frames import default_rows
        from pipeline.identity import IDENTITY_FILE
        from pipeline.job import run_job
        from pipeline.pictures import open_pictures
        from pipeline.repair import told

        source, pictures = open_pictures(self.source)
        rows = self.job.shard_rows or (0 if (self.store / IDENTITY_FILE).is_file() else default_rows(source))
        spec = EncodeClips(self.encoder[0], self.options, pictures, self.clip_seconds, self.last, self.windows, self.l2,
                           self.job.dtype, self.batch, self.decoders)
        summary = run_job(spec, source, self.store, format=self.job.format, shard_rows=rows,
                          retry_failed=self.job.retry_failed, actors=self.job.actors, address=self.job.address,
                          inline=self.job.inline, append=self.job.append, command=told("extract clips", self),
                          again=again, unit="videos")
        print(summary.text())
        return summary.status


def absolute(name: str) -> str:
    """An encoder's name with its path made absolute, so that another folder's worker or repair finds it."""
    head, separator, rest = name.rpartition("=")
    if separator and rest != "random":
        return f"{head}={Path(rest).absolute()}" if Path(rest).exists() else name
    family, colon, place = (head if separator else name).partition(":")
    tail = f"={rest}" if separator else ""
    place, prefix = (place, f"{family}:") if colon else (family, "")
    return f"{prefix}{Path(place).absolute()}{tail}" if Path(place).exists() else name
