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


@dataclass(frozen=True)
class Moment:
    """A sentence about a video, with when it is true."""

    id: str
    """Unique among the moments of its dataset; the key of its text in a store of kind ``tokens``."""
    key: str
    """Key of the video in the store, or that without the file's ending."""
    text: str
    windows: np.ndarray
    """(w, 2) float32 seconds: all stretches in which it is true, in order of time; w = 0 where nobody says."""
    duration: float = 0.0
    """Seconds of the video; 0 where the dataset does not say."""
    clips: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """(c,) int64: the rated clips, clip i from i to i + 1 times ``clip_seconds``; the others are irrelevant."""
    saliency: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    """(c, raters) int8: each rater's 0 (very bad) to 4 (very good) for each rated clip."""
    clip_seconds: float = 2.0
    alternatives: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    """(a, 2) float32 seconds: each annotator's own window, where a dataset has several opinions on one moment."""
