"""Captions and their phrases: the table that is joined to a store by key."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Phrase:
    """A span of a caption and the boxes it names."""

    start: int
    """First character of the span in the caption's text."""
    end: int
    """One past its last character."""
    boxes: np.ndarray
    """(m, 4) float32 xyxy pixel boxes; m >= 1."""
    kind: str = ""
    """What the span is, as its dataset says it: a Flickr30k Entities type, or a scenes object's shape."""


@dataclass(frozen=True)
class Caption:
    """One caption of one image."""

    id: str
    """Unique among the captions of its dataset."""
    key: str
    """Key of the image in the store."""
    text: str
    phrases: tuple[Phrase, ...] = field(default=())
    """Empty where the dataset links no words to boxes."""
