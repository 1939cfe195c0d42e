"""What the columns of a store hold: the types that shards are written from and read into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from features.errors import HeedError
from features.finite import all_finite
from features.regions import Regions
from pipeline.clips import Clips, Tokens

Dtype = Literal["float16", "float32", "int8", "uint8", "int32", "int64", "string", "bytes"]


@dataclass(frozen=True)
class Field:
    """One column: a number type and the shape of one row's value, where a leading None is a length that varies."""

    dtype: Dtype
    shape: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        if None in self.shape[1:]:
            raise HeedError(f"only the first axis of a field may vary in length, not {self.shape}")

    @property
    def ragged(self) -> bool:
        """Whether the length of a row's value varies."""
        return bool(self.shape) and self.shape[0] is None

    @property
    def inner(self) -> tuple[int, ...]:
        """Shape of one element of a ragged value, or of the whole value of a fixed one."""
        return tuple(n for n in self.shape if n is not None)

    def to_json(self) -> dict[str, Any]:
        """JSON form, as store.json holds it."""
        return {"dtype": self.dtype, "shape": list(self.shape)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Field:
        """Inverse of `to_json`."""
        return Field(value["dtype"], tuple(value["shape"]))


Fields = dict[str, Field]
Row = dict[str, Any]
"""One row by field name: numpy arrays for shaped fields, Python scalars, strings or bytes for the others."""


def region_fields(dim: int, attributes: int, dtype: Literal["float16", "float32"] = "float16") -> Fields:
    """Fields of a store of kind ``regions``: see `features.regions.Regions` for what each holds."""
    fields = {
        "key": Field("string"),
        "width": Field("int32"),
        "height": Field("int32"),
        "boxes": Field("float32", (None, 4)),
        "features": Field(dtype, (None, dim)),
        "classes": Field("int32", (None,)),
        "class_scores": Field("float32", (None,)),
    }
    if attributes:
        fields["attributes"] = Field("int32", (None, attributes))
        fields["attribute_scores"] = Field("float32", (None, attributes))
    return fields


def clip_fields(dim: int, dtype: Literal["float16", "float32"] = "float16") -> Fields:
    """Fields of a store of kind ``clips``: see `pipeline.clips.Clips` for what each holds."""
    return {
        "key": Field("string"),
        "duration": Field("float32"),
        "spans": Field("float32", (None, 2)),
        "features": Field(dtype, (None, dim)),
    }


def token_fields(dim: int, pooled: int, dtype: Literal["float16", "float32"] = "float16") -> Fields:
    """Fields of a store of kind ``tokens``; ``pooled`` is the length of the whole text's vector, 0 for none."""
    fields = {"key": Field("string"), "features": Field(dtype, (None, dim))}
    return {**fields, "pooled": Field("float32", (pooled,))} if pooled else fields


def row_from_regions(key: str, regions: Regions, fields: Fields) -> Row:
    """A store row of one image's regions, features in the store's number type.

    Raises `HeedError` where a feature overflows that type or the arrays are not as wide as the store's fields.
    """
    for name in ("features", "attributes"):
        width = fields[name].inner[0] if name in fields else 0
        if getattr(regions, name).shape[1] != width:
            raise HeedError(f"each region has {getattr(regions, name).shape[1]} {name} where the store holds {width}")
    features = stored_features(regions.features, fields["features"])
    row: Row = {name: getattr(regions, name) for name in fields if name not in ("key", "features")}
    return {**row, "key": key, "features": features}


def row_from_clips(key: str, clips: Clips, fields: Fields) -> Row:
    """A store row of one video's or sound's clips; raises like `row_from_regions`."""
    return {"key": key, "duration": float(clips.duration), "spans": clips.spans.astype(np.float32),
            "features": stored_features(clips.features, fields["features"])}


def row_from_tokens(key: str, tokens: Tokens, fields: Fields) -> Row:
    """A store row of one text's tokens; raises like `row_from_regions`."""
    row: Row = {"key": key, "features": stored_features(tokens.features, fields["features"])}
    pooled = fields["pooled"].shape if "pooled" in fields else None
    if pooled != (None if tokens.pooled is None else tokens.pooled.shape):
        raise HeedError(f"the pooled feature does not have the shape {pooled} that the store holds")
    return row if tokens.pooled is None else {**row, "pooled": tokens.pooled.astype(np.float32)}


def stored_features(features: np.ndarray, field: Field) -> np.ndarray:
    """Features in the store's number type; `HeedError` where one overflows it or they are not as wide."""
    if features.shape[1] != field.inner[0]:
        raise HeedError(f"each feature has {features.shape[1]} numbers where the store holds {field.inner[0]}")
    with np.errstate(over="ignore"):
        stored = features.astype(field.dtype)
    if not all_finite(stored):
        raise HeedError(f"a feature is too large for {field.dtype} (largest {np.abs(features).max():.3g}); "
                        "store them with --dtype float32")
    return stored


def regions_from_row(row: Row) -> Regions:
    """Inverse of `row_from_regions`; attributes come back with shape (n, 0) where the store has none."""
    none = np.zeros((len(row["boxes"]), 0))
    return Regions(
        boxes=row["boxes"], features=row["features"], classes=row["classes"], class_scores=row["class_scores"],
        attributes=row.get("attributes", none.astype(np.int32)),
        attribute_scores=row.get("attribute_scores", none.astype(np.float32)),
        width=int(row["width"]), height=int(row["height"]),
    )
