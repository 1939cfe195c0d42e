"""What the columns of a store hold: the types that shards are written from and read into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from features.errors import HeedError
from features.finite import all_finite
from features.regions import Regions
from pipeline.clips import Clips, Tokens
from pipeline.scaled import scaled, unscaled
from pipeline.stored_frames import IMAGE_FIELDS, StoredFrames
from pipeline.typed_json import expect

Dtype = Literal["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "string", "bytes"]


@dataclass(frozen=True)
class Field:
    """One column: a number type and the shape of one row's value, where a leading None is a length that varies."""

    dtype: Dtype
    shape: tuple[int | None, ...] = ()
    scale: str = ""
    """Name of the float32 field that holds a factor for each element: the value is this field's times that."""

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
        scale = {"scale": self.scale} if self.scale else {}
        return {"dtype": self.dtype, "shape": list(self.shape), **scale}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Field:
        """Inverse of `to_json`; `ValueError` where it is no field."""
        expect(value, {"dtype": str, "shape": list}, "a field")
        expect([size for size in value["shape"] if size is not None], [int], "a shape")
        if value["dtype"] not in get_args(Dtype) or any((size or 0) >= 1 << 31 for size in value["shape"]):
            raise ValueError(f"a field has the type {value['dtype'][:40]!r} and the shape {str(value['shape'])[:40]}")
        return Field(value["dtype"], tuple(value["shape"]), value.get("scale", ""))


FeatureDtype = Literal["float16", "float32", "int8"]
"""Number types of stored features; int8 has a scale for each element (`pipeline.scaled`)."""
SCALES = "feature_scales"
Fields = dict[str, Field]
Row = dict[str, Any]
"""One row by field name: numpy arrays for shaped fields, Python scalars, strings or bytes for the others."""


def feature_fields(dim: int, dtype: FeatureDtype) -> Fields:
    """The field of features (n, dim), and that of their scales where ``dtype`` is int8."""
    if dtype == "int8":
        return {"features": Field("int8", (None, dim), SCALES), SCALES: Field("float32", (None,))}
    return {"features": Field(dtype, (None, dim))}


def with_feature_dtype(fields: Fields, dtype: FeatureDtype) -> Fields:
    """The same fields with features (n, d) of another number type; `HeedError` where there are no such."""
    if "features" not in fields or not fields["features"].ragged or len(fields["features"].inner) != 1:
        raise HeedError("there are no features (n, d) whose number type could be changed")
    changed: Fields = {}
    for name, field in fields.items():
        if name == "features":
            changed |= feature_fields(field.inner[0], dtype)
        elif name != SCALES:
            changed[name] = field
    return changed


def read_fields(fields: Fields) -> Fields:
    """The fields of rows as a store gives them: scaled ones as float32, without their scales."""
    scales = {field.scale for field in fields.values()}
    return {name: Field("float32", field.shape) if field.scale else field
            for name, field in fields.items() if name not in scales}


def read_row(row: Row, fields: Fields) -> Row:
    """A row of a shard as a store gives it: see `read_fields`."""
    if not any(field.scale for field in fields.values()):
        return row
    return {name: unscaled(row[name], row[fields[name].scale]) if fields[name].scale else row[name]
            for name in read_fields(fields)}


def region_fields(dim: int, attributes: int, dtype: FeatureDtype = "float16", distribution: int = 0) -> Fields:
    """Fields of a store of kind ``regions``: see `features.regions.Regions` for what each holds.

    ``distribution`` is the number of class probabilities kept of each region, in float16; 0 for none.
    """
    fields = {
        "key": Field("string"),
        "width": Field("int32"),
        "height": Field("int32"),
        "boxes": Field("float32", (None, 4)),
        **feature_fields(dim, dtype),
        "classes": Field("int32", (None,)),
        "class_scores": Field("float32", (None,)),
    }
    if attributes:
        fields["attributes"] = Field("int32", (None, attributes))
        fields["attribute_scores"] = Field("float32", (None, attributes))
    if distribution:
        fields["class_probabilities"] = Field("float16", (None, distribution))
    return fields


def clip_fields(dim: int, dtype: FeatureDtype = "float16") -> Fields:
    """Fields of a store of kind ``clips``: see `pipeline.clips.Clips` for what each holds."""
    return {
        "key": Field("string"),
        "duration": Field("float32"),
        "spans": Field("float32", (None, 2)),
        **feature_fields(dim, dtype),
    }


def token_fields(dim: int, pooled: int, dtype: FeatureDtype = "float16") -> Fields:
    """Fields of a store of kind ``tokens``; ``pooled`` is the length of the whole text's vector, 0 for none."""
    fields = {"key": Field("string"), **feature_fields(dim, dtype)}
    return {**fields, "pooled": Field("float32", (pooled,))} if pooled else fields


def frame_fields(image: Literal["jpg", "png"]) -> Fields:
    """Fields of a store of kind ``frames``, one row a video: see `pipeline.stored_frames.StoredFrames`."""
    return {
        "key": Field("string"),
        "duration": Field("float64"),
        "start": Field("float64"),
        "width": Field("int32"),
        "height": Field("int32"),
        "note": Field("string"),
        "times": Field("float64", (None,)),
        image: Field("bytes", (None,)),
    }


def row_from_regions(key: str, regions: Regions, fields: Fields) -> Row:
    """A store row of one image's regions, features in the store's number type.

    Raises `HeedError` where a feature overflows that type or the arrays are not as wide as the store's fields.
    """
    for name in ("features", "attributes"):
        width = fields[name].inner[0] if name in fields else 0
        if getattr(regions, name).shape[1] != width:
            raise HeedError(f"each region has {getattr(regions, name).shape[1]} {name} where the store holds {width}")
    if "class_probabilities" in fields and regions.class_probabilities is None:
        raise HeedError("the regions have no class probabilities, which the store holds")
    row: Row = {name: getattr(regions, name) for name in fields if name not in ("key", "features", SCALES)}
    return {**row, "key": key, **stored_features(regions.features, fields)}


def row_from_clips(key: str, clips: Clips, fields: Fields) -> Row:
    """A store row of one video's or sound's clips; raises like `row_from_regions`."""
    return {"key": key, "duration": float(clips.duration), "spans": clips.spans.astype(np.float32),
            **stored_features(clips.features, fields)}


def row_from_tokens(key: str, tokens: Tokens, fields: Fields) -> Row:
    """A store row of one text's tokens; raises like `row_from_regions`."""
    row: Row = {"key": key, **stored_features(tokens.features, fields)}
    pooled = fields["pooled"].shape if "pooled" in fields else None
    if pooled != (None if tokens.pooled is None else tokens.pooled.shape):
        raise HeedError(f"the pooled feature does not have the shape {pooled} that the store holds")
    return row if tokens.pooled is None else {**row, "pooled": tokens.pooled.astype(np.float32)}


def stored_features(features: np.ndarray, fields: Fields) -> Row:
    """Features in the store's number type, with their scales where it is int8.

    Raises `HeedError` where one overflows it or is not finite, or they are not as wide as the store's.
    """
    field = fields["features"]
    if features.shape[1] != field.inner[0]:
        raise HeedError(f"each feature has {features.shape[1]} numbers where the store holds {field.inner[0]}")
    if field.scale:
        if not all_finite(features):
            raise HeedError("features hold NaN or infinite numbers")
        numbers, scales = scaled(features)
        return {"features": numbers, field.scale: scales}
    with np.errstate(over="ignore"):
        stored = features.astype(field.dtype)
    if not all_finite(stored):
        if not all_finite(features):
            raise HeedError("features hold NaN or infinite numbers")
        raise HeedError(f"a feature is too large for {field.dtype} (largest {np.abs(features).max():.3g}); "
                        "store them with --dtype float32")
    return {"features": stored}


def regions_from_row(row: Row) -> Regions:
    """Inverse of `row_from_regions`; attributes come back with shape (n, 0) where the store has none."""
    none = np.zeros((len(row["boxes"]), 0))
    return Regions(
        boxes=row["boxes"], features=row["features"], classes=row["classes"], class_scores=row["class_scores"],
        attributes=row.get("attributes", none.astype(np.int32)),
        attribute_scores=row.get("attribute_scores", none.astype(np.float32)),
        width=int(row["width"]), height=int(row["height"]), class_probabilities=row.get("class_probabilities"),
    )


def clips_from_row(row: Row) -> Clips:
    """Inverse of `row_from_clips`."""
    return Clips(row["features"], row["spans"], float(row["duration"]))


def tokens_from_row(row: Row) -> Tokens:
    """Inverse of `row_from_tokens`."""
    return Tokens(row["features"], row.get("pooled"))


def frames_from_row(row: Row) -> StoredFrames:
    """A row of a store of kind ``frames``; its pictures are read when they are asked for."""
    files = next(row[name] for name in IMAGE_FIELDS if name in row)
    return StoredFrames(row["times"], files, float(row["duration"]), float(row["start"]), row["note"])


_NOUNS: dict[str, Callable[[Row], Regions | Clips | Tokens | StoredFrames]] = {
    "regions": regions_from_row, "clips": clips_from_row, "tokens": tokens_from_row, "frames": frames_from_row,
}


def check_row(kind: str, row: Row) -> None:
    """Raise `HeedError` with the first inconsistency of a row of a store of ``kind``, as the store gives it."""
    if kind in _NOUNS:
        _NOUNS[kind](row).checked()
    elif "features" in row and not all_finite(row["features"]):
        raise HeedError("features hold NaN or infinite numbers")
