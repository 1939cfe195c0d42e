"""`heed extract text`: captions and queries into stores of a feature for each token.

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
class ExtractText:
    """Turn texts into a store of token features, and of one for the whole text where the encoder gives it.

    Exit status 3 says that the job is complete but some texts failed; they are listed with their reasons.
    """

    # A dataset's captions or queries (scenes, COCO captions, QVHighlights, Charades-STA, TACoS, DiDeMo), or a .jsonl or
    # .csv list with columns key and text.
    captions: Positional[str]
    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # clip:FOLDER or bert:FOLDER in Hugging Face's layout, or a published name such as clip:vit-b-32 (docs/features.md).
    encoder: str = "clip:vit-b-32"
    # One split of the dataset; all of it otherwise.
    split: Literal["all", "train", "val", "test"] = "all"
    # Which dataset it is, where the files do not say.
    dataset: str | None = None
    # Longer texts are cut at this many tokens, special ones counted; 0 is what the encoder takes.
    most: int = 0
    # Texts the encoder reads at once.
    batch: int = 64
    # Where the encoder runs.
    options: Annotated[EncoderOptions, arg(name="")] = field(default_factory=EncoderOptions)
    # Number format and workers.
    job: Annotated[JobOptions, arg(name="")] = field(default_factory=JobOptions)

    def run(self, again: Collection[int] = ()) -> int:
        """Extract; the shards in ``again`` although they are there."""
        from features.errors import HeedError
        from pipeline.job import run_job
        from pipeline.repair import told
        from pipeline.text_features import EncodeTexts, read_texts, text_source

        if self.batch < 1 or self.most < 0:
            raise HeedError("--batch is a number from 1, --most one from 0.")
        split = None if self.split == "all" else self.split
        source = text_source(self.captions, read_texts(self.captions, split, self.dataset))
        if not source.items:
            raise HeedError(f"{self.captions} holds no texts{f' of the split {split}' if split else ''}.")
        spec = EncodeTexts(absolute(self.encoder), self.options, self.most, self.job.dtype, self.batch)
        summary = run_job(spec, source, self.store, format=self.job.format, shard_rows=self.job.shard_rows,
                          retry_failed=self.job.retry_failed, actors=self.job.actors, address=self.job.address,
                          inline=self.job.inline, append=self.job.append, command=told("extract text", self),
                          again=again, unit="texts")
        print(summary.text())
        return summary.status
