"""heed's own layout of an entry, for formats that have none of their own: the fields of a store, by their names.

Regions need features (n, d), boxes (n, 4) in pixels, width and height; classes, class_scores, attributes and
attribute_scores may be missing. Clips need features (n, d) and spans (n, 2) in seconds; duration may be missing, and is
then the end of the last clip.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from pipeline.clips import Clips
from pipeline.exchange.arrays import floats, need, regions, table, whole

KINDS = ("regions", "clips")
NAMES = ("features", "boxes", "width", "height", "classes", "class_scores", "attributes", "attribute_scores", "spans",
         "duration")


def plain_entry(values: Mapping[str, np.ndarray]) -> Regions | Clips:
    """An entry out of its arrays by name; `HeedError` where they are those of neither kind."""
    features = floats(need(values, "features"))
    if "boxes" in values:
        n = len(values["boxes"]) if values["boxes"].ndim else 0
        return regions(
            table(values["boxes"], n, "boxes", np.float32, 4), features, whole(need(values, "width"), "width"),
            whole(need(values, "height"), "height"), values.get("classes"), values.get("class_scores"),
            values.get("attributes"), values.get("attribute_scores"),
        )
    if "spans" not in values:
        raise HeedError("has neither boxes, as regions have, nor spans, as clips have")
    spans = table(values["spans"], len(features) if features.ndim else 0, "spans", np.float32, 2)
    duration = values.get("duration", spans[-1:, 1] if spans.size else np.zeros(1))
    if np.size(duration) != 1 or np.asarray(duration).dtype.kind not in "fiu":
        raise HeedError(f"duration is {str(duration)[:20]!r}, not a number of seconds")
    return Clips(features, spans, float(np.asarray(duration).reshape(())))
