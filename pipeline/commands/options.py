"""The type of options that name a folder on this machine or a URL.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from pipeline.places import Place, Remote, place

PlaceOption = Annotated[Place, PrimitiveConstructorSpec(
    nargs=1, metavar="PATH|URL", instance_from_str=lambda words: place(words[0]),
    is_instance=lambda value: isinstance(value, Path | Remote), str_from_instance=lambda value: [str(value)],
)]
"""A `pipeline.places.Place`: ``store: Positional[PlaceOption]``. A plain Path would take a slash from s3://…"""
