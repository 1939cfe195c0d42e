"""Does a picture hold what its caption names? Asked of scenes, with their detector as the judge and no download.

A caption's phrase names an object by colour and shape ("a small red star"); the detector says of which colour and shape
the objects in the picture are. Chance is the same pictures against other pictures' captions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.annotations import Caption
from pipeline.scenes.phrases import ADJECTIVES, NOUNS
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.world import COLOURS

Named = tuple[str, str]
"""Colour and shape."""

SIDE = 160
"""Side in pixels to which pictures are scaled: that of the scenes the detector was trained on."""
THRESHOLD = 0.5
"""Confidence from which a detection counts."""
_COLOUR_OF = {word: colour for colour in COLOURS for word in ADJECTIVES.get(colour, (colour,))}
_SHAPE_OF = {word + ending: shape for shape in SHAPES for word in NOUNS[shape] for ending in ("", "s", "es")}


def named_in(caption: Caption) -> list[Named]:
    """The objects that the caption's phrases name by colour and shape, in its order, each once."""
    found: list[Named] = []
    for phrase in caption.phrases:
        words = re.findall(r"\w+", caption.text[phrase.start:phrase.end].lower())
        colours = [_COLOUR_OF[word] for word in words if word in _COLOUR_OF]
        shapes = [_SHAPE_OF[word] for word in words if word in _SHAPE_OF]
        if len(colours) == len(shapes) == 1 and (colours[0], shapes[0]) not in found:
            found.append((colours[0], shapes[0]))
    return found


def see_objects(pictures: Iterable[np.ndarray], weights: str = "default", device: str = "auto", batch: int = 16
                ) -> list[set[Named]]:
    """Colours and shapes of the objects in each picture (side, side, 3) uint8, by the scenes detector."""
    from PIL import Image

    from features.detectors import DetectorOptions, load_detector

    detector = load_detector("scenes", DetectorOptions(weights, (0, 20), score_threshold=THRESHOLD, device=device))
    names = detector.describe()
    classes, colours = names["classes"], names["attributes"]["colour"]
    found: list[set[Named]] = []
    scaled = [np.array(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for pixels in pictures]
    for start in range(0, len(scaled), batch):
        for regions in detector.detect(scaled[start:start + batch]):
            sure = regions.class_scores >= THRESHOLD
            found.append({(colours[colour], classes[shape])
                          for shape, colour in zip(regions.classes[sure], regions.attributes[sure, 0], strict=True)})
    return found


def agreement(named: Sequence[Sequence[Named]], seen: Sequence[set[Named]]) -> dict[str, np.ndarray]:
    """Per named object: which picture's it is, whether that picture has it, and in what share of the others it is.

    ``picture`` (n,) int64; ``both``, ``colour`` and ``shape`` (n,) of 0 and 1: an object of that colour and shape, of
    that colour, of that shape; ``chance`` (n,) the share of other pictures with one of that colour and shape.
    """
    rows = [(place, what) for place, own in enumerate(named) for what in own]
    has = {what: sum(what in one for one in seen) for _, what in rows}
    both = [what in seen[place] for place, what in rows]
    others = max(1, len(seen) - 1)
    return {
        "picture": np.array([place for place, _ in rows], np.int64),
        "both": np.array(both, np.float64),
        "colour": np.array([any(c == colour for c, _ in seen[place]) for place, (colour, _) in rows], np.float64),
        "shape": np.array([any(s == shape for _, s in seen[place]) for place, (_, shape) in rows], np.float64),
        "chance": np.array([has[what] - own for (_, what), own in zip(rows, both, strict=True)], np.float64) / others,
    }
