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
    chain: str = ""
    """The same for all phrases of an image's captions that name the same: Flickr30k Entities' chain, or object ids."""


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


@dataclass(frozen=True)
class Description:
    """A sentence of a film's running description, with the time it describes."""

    id: str
    """Unique among the descriptions of its dataset."""
    key: str
    """Key of the film in the store, or that without the file's ending."""
    text: str
    start: float
    """Seconds."""
    end: float
    """Seconds, after the start."""


@dataclass(frozen=True)
class Descriptions:
    """The descriptions of a split, as a reader gives them."""

    rows: list[Description]
    """Film by film, in order of time."""
    notes: list[str]
    """What was mended or left out, counted, as clauses."""


@dataclass(frozen=True)
class Question:
    """One question about one image."""

    id: str
    """Unique among the questions of its dataset."""
    key: str
    """Key of the image in the store."""
    text: str
    answers: tuple[str, ...]
    """What each person asked has answered: ten in VQA, one where the answer is certain, none where it is kept back."""
    kind: str = ""
    """What it asks for, as its dataset says it."""
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """(m, 4) float32 xyxy pixel boxes of what one has to look at; empty where nobody says."""
    phrases: tuple[Phrase, ...] = ()
    """Its words that name something in the image."""
    program: tuple[tuple[str, tuple[int, ...], str], ...] = ()
    """(function, the steps whose results it takes, value) of each step to the answer; empty where there is none."""


@dataclass(frozen=True)
class OcrToken:
    """A word that is written in an image."""

    text: str
    box: np.ndarray
    """(4,) float32 xyxy pixels."""
    confidence: float = 1.0


@dataclass(frozen=True)
class TextQuestion:
    """One question about an image with words in it."""

    id: str
    """Unique among the questions of its dataset."""
    key: str
    """Key of the image in the store."""
    text: str
    answers: tuple[str, ...]
    """What each person asked has answered: ten in TextVQA, none where it is kept back."""
    tokens: tuple[OcrToken, ...]
    """All the words read in the image, in the dataset's order."""
    kind: str = ""
    """What it asks for, as its dataset says it."""
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """(m, 4) float32 xyxy pixel boxes of what one has to look at; empty where nobody says."""


@dataclass(frozen=True)
class Relations:
    """The annotated boxes of one image and the relations between them."""

    key: str
    """Key of the image in the store."""
    boxes: np.ndarray
    """(n, 4) float32 xyxy pixels."""
    names: tuple[str, ...]
    """What is in each box."""
    triples: tuple[tuple[int, str, int], ...]
    """(box, predicate, box): the first is, say, left of the second."""


@dataclass(frozen=True)
class Label:
    """What one image shows, as a whole."""

    key: str
    """Key of the image in the store."""
    label: str
