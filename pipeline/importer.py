"""Somebody else's feature file into rows, through a format of `pipeline.exchange`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from features.errors import HeedError
from pipeline.exchange import exchange_format
from pipeline.fields import Row, region_fields, row_from_regions
from pipeline.sources import Item, Source, check_keys


@dataclass(frozen=True)
class ImportRegions:
    """Which format, and the number type to store."""

    format: str
    dim: int
    attributes: int
    dtype: Literal["float16", "float32"] = "float16"

    def open(self) -> ImportReader:
        """A reader of the format."""
        return ImportReader(self)

    open_to_plan = open


class ImportReader:
    """A feature file as a `pipeline.worker.Reader`."""

    kind = "regions"

    def __init__(self, spec: ImportRegions) -> None:
        self.spec = spec
        self.format = exchange_format(spec.format)
        self.fields = region_fields(spec.dim, spec.attributes, spec.dtype)

    def describe(self) -> dict[str, Any]:
        """The format; what extractor made the file is not in it."""
        return {"name": f"import {self.spec.format}"}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each entry of the file as a row, read one at a time."""
        for item in items:
            try:
                yield item, row_from_regions(item.key, self.format.read(item).checked(), self.fields)
            except HeedError as error:
                yield item, error


def open_import(format: str, path: Path, dtype: Literal["float16", "float32"]) -> tuple[Source, ImportRegions]:
    """List the entries of a feature file and learn the length of its features from the first readable one."""
    module = exchange_format(format)
    if not path.exists():
        raise HeedError(f"There is no {path}.")
    items = list(module.items(path))
    check_keys(items)
    problem: HeedError | None = None
    for item in items:
        try:
            regions = module.read(item)
        except HeedError as error:
            problem = problem or error
            continue
        spec = ImportRegions(format, regions.features.shape[1], regions.attributes.shape[1], dtype)
        return Source(str(path), items, 0), spec
    raise HeedError(f"{path} holds nothing that can be read as {format}: {problem or 'it is empty'}.")
