"""What is in a video: actors, and events that change them in known windows of time."""

from __future__ import annotations

from dataclasses import dataclass

SEEN = ("enter", "leave", "move", "spin", "jump", "shake", "blink", "grow", "shrink", "recolour", "bump")
"""Kinds of events of an actor; each is seen, and heard."""
HEARD = ("bell", "drum", "horn", "bird")
"""Kinds of events that are only heard."""
KINDS = SEEN + HEARD
"""All kinds of events; a kind's id is its place here."""
CLIP = 2
"""Seconds of a clip, the unit that relevance and saliency are annotated in, as in QVHighlights."""


@dataclass(frozen=True)
class Pose:
    """How an actor is at one moment; lengths are fractions of the picture's side, y downwards."""

    x: float
    y: float
    radius: float
    degrees: int
    colour: str
    size: str
    present: bool = True
    """Whether there is anything to draw."""
    towards: str | None = None
    """The colour it is turning into."""
    blend: float = 0.0
    """How far it has got there, 0..1."""


@dataclass(frozen=True)
class Actor:
    """One object of one shot; what never changes about it, and how it is when the shot begins."""

    id: int
    """Its place in the video; later actors are drawn over earlier ones."""
    shot: int
    shape: str
    texture: str
    tone: float
    """-1..1: how light its paint came out."""
    sway: tuple[float, float]
    """Phases of its slow sway across and down, in turns."""
    first: Pose


@dataclass(frozen=True)
class Event:
    """Something that happens in [start, end), in seconds."""

    id: int
    """Its place in the video, in the order of the starts."""
    kind: str
    """One of `KINDS`."""
    start: float
    end: float
    actor: int | None = None
    """Whose event it is; None for what is only heard."""
    other: int | None = None
    """The actor bumped into."""
    detail: str = ""
    """Where from, where to or which way: left, right, top, bottom; the new colour; the new size."""
    before: Pose | None = None
    """The actor as it was at rest before."""
    after: Pose | None = None
    """The actor as it will be at rest afterwards."""


@dataclass(frozen=True)
class Shot:
    """A stretch of the video in one setting, in seconds."""

    start: int
    end: int
    label: str
    """Its setting, one of `pipeline.scenes.SETTINGS`."""


@dataclass(frozen=True)
class Video:
    """A video before it is drawn at any size or rate."""

    seed: int
    index: int
    seconds: int
    shots: tuple[Shot, ...]
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]

    def shot_at(self, time: float) -> int:
        """The number of the shot at a time in seconds; the last one from the end on."""
        return next((i for i, shot in enumerate(self.shots) if time < shot.end), len(self.shots) - 1)
