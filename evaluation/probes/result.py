"""What a probe found: rows of figures, maps of layers by heads, and the choices it was made with."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import Figure
from features.errors import HeedError
from pipeline.atomic import write_json

Value = str | int | float | None | Figure
Row = dict[str, Value]


@dataclass(frozen=True)
class HeadMap:
    """One number a head: drawn as a picture, layers down, heads across."""

    layers: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    """Of each layer its heads'; layers may have different numbers of them. NaN where there is nothing to measure."""
    unit: str = ""
    """What the numbers are, for the picture."""
    middle: float | None = None
    """The number that means nothing special (chance, uniform): colours turn there."""
    classes: tuple[str, ...] = ()
    """Where values are numbers of classes, their names."""


@dataclass(frozen=True)
class Result:
    """A probe's answer on one variant of a subject."""

    probe: str
    variant: str
    """"trained", "random" or "mismatched"."""
    rows: tuple[Row, ...] = ()
    """Tables; a row's "table" says to which it belongs, the other keys are columns."""
    maps: dict[str, HeadMap] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What could not be measured and why, and choices that one has to know to read the figures."""
    choices: dict[str, Any] = field(default_factory=dict)
    """The options that this probe used."""
    pictures: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    """Pictures (height, width, 3) uint8 that are only drawn: they are files beside the result, not in it."""

    @property
    def tables(self) -> dict[str, list[Row]]:
        """Table -> its rows without their "table"."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(str(row["table"]), []).append({key: row[key] for key in row if key != "table"})
        return found

    def find(self, table: str, **where: Value) -> list[Row]:
        """Rows of a table whose columns have these values."""
        return [row for row in self.tables.get(table, []) if all(row.get(key) == value for key, value in where.items())]


def save(result: Result, path: Path, made_from: dict[str, Any]) -> None:
    """Write a result as JSON, whole or not at all; ``made_from`` is what a later run compares before it trusts it."""
    write_json(path, {
        "heed_probe": 1, "probe": result.probe, "variant": result.variant, "made_from": made_from,
        "choices": result.choices, "notes": list(result.notes),
        "rows": [{key: _plain(value) for key, value in row.items()} for row in result.rows],
        "maps": {name: {"layers": list(found.layers), "unit": found.unit, "middle": found.middle,
                        "classes": list(found.classes),
                        "values": [[_plain(value) for value in line] for line in found.values]}
                 for name, found in result.maps.items()},
    })


def load(path: Path) -> tuple[Result, dict[str, Any]]:
    """Read what `save` wrote: the result and what it was made from; `HeedError` for a damaged file."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple({key: _figure(value) for key, value in row.items()} for row in said["rows"])
        maps = {name: HeadMap(
            tuple(found["layers"]),
            tuple(tuple(math.nan if v is None else float(v) for v in line) for line in found["values"]),
            found["unit"], found["middle"], tuple(found["classes"])) for name, found in said["maps"].items()}
        return Result(said["probe"], said["variant"], rows, maps, tuple(said["notes"]), said["choices"]), \
            said["made_from"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeedError(f"{path} is no result of a probe ({error!r}): delete it and run heed probe again.") from None


def head_map(layers: Sequence[str], values: Sequence[Sequence[float]], unit: str = "",
             middle: float | None = None, classes: Sequence[str] = ()) -> HeadMap:
    """A `HeadMap` of arrays."""
    return HeadMap(tuple(layers), tuple(tuple(float(v) for v in line) for line in values), unit, middle,
                   tuple(classes))


def _plain(value: Value) -> Any:
    if isinstance(value, Figure):
        return value.to_json()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _figure(value: Any) -> Any:
    return Figure.from_json(value) if isinstance(value, dict) else value
