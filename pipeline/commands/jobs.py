"""Options that every extraction job has.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class JobOptions:
    """How a job is run; none of it changes what is stored, except the format, number type and rows of its shards."""

    # arrow to train from, webdataset to exchange.
    format: Literal["arrow", "webdataset"] = "arrow"
    # Number type of stored features: float16 halves float32's size at a relative error of 2e-4; int8, with a scale for
    # each box, halves that again at an error of 1/254 of the box's largest number.
    dtype: Literal["float16", "float32", "int8"] = "float16"
    # Inputs a shard; 0 takes 32 to 512, the more the larger the source.
    shard_rows: int = 0
    # Workers; 0 takes one for each GPU, or else each CPU core.
    actors: int = 0
    # A Ray cluster to run on (host:port, or auto); it must share this file system, or source and store are URLs. Empty:
    # this machine.
    address: str = ""
    # Work in this process, without Ray.
    inline: bool = False
    # Try inputs again that failed in an earlier run.
    retry_failed: bool = False
    # Also extract what the source has got since the store was begun, into new shards; those that are there stay.
    append: bool = False
