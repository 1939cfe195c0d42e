"""What happens in a video: a cast and a sequence of events, sampled from (seed, index) and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from features.errors import HeedError
from pipeline.scenes.rng import Random
from pipeline.scenes.shapes import SHAPES, extent
from pipeline.scenes.video.world import CLIP, HEARD, SEEN, Actor, Event, Pose, Shot, Video
from pipeline.scenes.world import COLOURS, RADIUS, SETTINGS, SIZES, TEXTURES

SHOT_SECONDS = 24
"""About how long a shot is: a longer video is cut into several, each with a cast and a setting of its own."""
SHORTEST = 10
"""Seconds of the shortest video."""

_SECONDS: dict[str, tuple[float, float]] = {
    "enter": (2, 3), "leave": (2, 3), "move": (2, 4), "spin": (2.5, 6), "jump": (2.5, 6), "shake": (2.5, 5),
    "blink": (3, 6), "grow": (2, 4), "shrink": (2, 4), "recolour": (2, 4), "bump": (2.5, 4),
    "bell": (3, 6), "drum": (2.5, 6), "horn": (2, 4), "bird": (2.5, 6),
}
_AGAIN = ("spin", "jump", "shake", "blink", "bump", *HEARD)  # leave everything as it was, and can happen again
_SIDES = ("left", "right", "top", "bottom")
_EDGE = 0.012
_GAP = 0.02


def video(seed: int, index: int, seconds: int = 24) -> Video:
    """The video number ``index`` of the dataset ``seed``: 4 or 5 actors a shot, about an event every four seconds.

    No two actors ever look the same in all of shape, colour, size and texture, in whatever shot, so that each can be
    named by itself. Raises `HeedError` unless ``seconds`` is even, for clips are 2 seconds long, and at least 10.
    """
    if seconds < SHORTEST or seconds % CLIP:
        raise HeedError(f"A scenes video is an even number of seconds long, {SHORTEST} at least; "
                        f"{seconds} seconds is not.")
    random = Random(seed, index, 21)
    count, clips = max(1, round(seconds / SHOT_SECONDS)), seconds // CLIP
    cuts = [CLIP * (i * clips // count) for i in range(count + 1)]
    shots = tuple(Shot(a, b, random.choice(SETTINGS)) for a, b in pairwise(cuts))
    director = _Director(random)
    for number, shot in enumerate(shots):
        director.cast(number)
        director.play(shot)
    order = sorted(director.events, key=lambda event: (event.start, event.id))
    events = tuple(replace(event, id=i) for i, event in enumerate(order))
    return Video(seed, index, seconds, shots, tuple(director.actors), events)


def _square(x: float, y: float = 0.0) -> float:
    """x^2 + y^2, by multiplication: the last bit of a power depends on the machine."""
    return x * x + y * y


class _Director:
    """Knows, while the events of a shot are chosen, how each actor will be once all that is chosen is over."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.actors: list[Actor] = []
        self.events: list[Event] = []
        self.looks: dict[tuple[str, str, str, str], int] = {}  # that any actor ever has
        self.rest: dict[int, Pose] = {}  # the actors of this shot
        self.busy: dict[int | str, float] = {}  # actor or sound -> when it is free again
        self.began = 0  # number of the shot's first event

    def cast(self, shot: int) -> None:
        """Choose the actors of a shot: some on the scene, the others waiting outside."""
        self.rest, self.busy, self.began = {}, {}, len(self.events)
        wanted = 4 + self.random.integer(2)
        waiting = 1 + self.random.integer(2)
        while len(self.rest) < wanted:
            self._hire(shot, present=len(self.rest) < wanted - waiting)

    def _hire(self, shot: int, present: bool) -> None:
        random = self.random
        shape, colour = random.choice(SHAPES), random.choice(COLOURS)
        size, texture = random.choice(SIZES), random.choice(TEXTURES)
        if self.rest and random.chance(0.4):  # something that only one attribute tells apart
            twin = self.actors[random.choice(list(self.rest))]
            shape, texture = twin.shape, twin.texture if random.chance(0.5) else texture
            colour = twin.first.colour if random.chance(0.4) else colour
        if (shape, colour, size, texture) in self.looks:
            return
        degrees = random.integer(31) - 15
        radius = RADIUS[size] * random.uniform(0.95, 1.05)
        tone, sway = random.uniform(-1, 1), (random.uniform(), random.uniform())
        place = self._room(shape, degrees, radius) if present else (0.5, 0.5)
        if place is None:
            return
        first = Pose(*place, radius, degrees, colour, size, present)
        self.looks[shape, colour, size, texture] = len(self.actors)
        self.rest[len(self.actors)] = first
        self.actors.append(Actor(len(self.actors), shot, shape, texture, tone, sway, first))

    def _room(self, shape: str, degrees: int, radius: float, actor: int | None = None) -> tuple[float, float] | None:
        """A place for something of this radius with nothing near it but the actor itself; None if there is none."""
        x1, y1, x2, y2 = extent(shape, degrees)
        for _ in range(30):
            x = self.random.uniform(_EDGE - x1 * radius, 1 - _EDGE - x2 * radius)
            y = self.random.uniform(_EDGE - y1 * radius, 1 - _EDGE - y2 * radius)
            if self._free(x, y, radius, actor):
                return x, y
        return None

    def _free(self, x: float, y: float, radius: float, actor: int | None) -> bool:
        return all(
            _square(x - o.x, y - o.y) >= _square(radius + o.radius + _GAP)
            for i, o in self.rest.items() if o.present and i != actor
        )

    def play(self, shot: Shot) -> None:
        """Fill a shot with events, one after the other, at times two at once."""
        start = shot.start + 0.5 + 0.5 * self.random.integer(3)
        while start + 2 <= shot.end - 0.5:
            event = self._next(start, shot.end - 0.5)
            if event is None:
                start += 0.5
                continue
            self.events.append(event)
            self.busy |= {key: event.end for key in (event.actor, event.other) if key is not None}
            if event.actor is None:
                self.busy[event.kind] = event.end
            elif event.after is not None:
                self.rest[event.actor] = event.after
            if self.random.chance(0.2):  # something else begins before this is over
                start += 1 + 0.5 * self.random.integer(2)
            else:
                start = max(self.busy.values()) + 0.5 * self.random.integer(5)

    def _next(self, start: float, until: float) -> Event | None:
        """An event that can begin at ``start`` and is over by ``until``."""
        random = self.random
        kinds = random.shuffled([*SEEN, *[random.choice(HEARD)] * 2])
        so_far = self.events[self.began:]
        if so_far and random.chance(0.45):  # the same again, or the same of somebody else
            event = random.choice(so_far)
            if event.kind in _AGAIN and random.chance(0.7):
                again = self._event(event.kind, start, until, event.actor, event.other)
                if again is not None:
                    return again
            kinds.insert(0, event.kind)
        for kind in kinds:
            for actor in random.shuffled(list(self.rest)) if kind in SEEN else [None]:
                found = self._event(kind, start, until, actor, None)
                if found is not None:
                    return found
        return None

    def _event(self, kind: str, start: float, until: float, actor: int | None, other: int | None) -> Event | None:
        """The event, if its actors are free for it; ``other`` None leaves the choice of whom to bump into."""
        low, high = _SECONDS[kind]
        steps = int(2 * (min(high, until - start) - low))
        if steps < 0:
            return None
        end = start + low + 0.5 * self.random.integer(steps + 1)
        number = len(self.events)
        if actor is None:
            return None if self.busy.get(kind, 0) > start else Event(number, kind, start, end)
        if self.busy.get(actor, 0) > start:
            return None
        before, detail = self.rest[actor], ""
        if before.present == (kind == "enter"):
            return None
        after: Pose | None = before
        if kind == "bump":
            other = self._target(actor, start) if other is None else other
            if other is None or not self._can_bump(actor, other, start):
                return None
        elif kind == "spin" and self.actors[actor].shape in ("circle", "ring") and \
                self.actors[actor].texture == "plain":
            return None  # nobody would see it
        elif kind not in ("spin", "jump", "shake", "blink"):
            after, detail = self._change(kind, actor)
        if after is None:
            return None
        return Event(number, kind, start, end, actor, other, detail, before, after)

    def _change(self, kind: str, actor: int) -> tuple[Pose | None, str]:
        """How an event leaves an actor, and the detail that says so; None where it cannot be."""
        random, who, now = self.random, self.actors[actor], self.rest[actor]
        if kind == "leave":
            present = sum(o.present for o in self.rest.values())
            return (replace(now, present=False) if present > 2 else None), random.choice(_SIDES)
        if kind == "enter":
            place = self._room(who.shape, now.degrees, now.radius, actor)
            after = place and replace(now, x=place[0], y=place[1], present=True)
            return after or None, random.choice(_SIDES)
        if kind == "move":
            for _ in range(8):
                place = self._room(who.shape, now.degrees, now.radius, actor)
                if place is None:
                    break
                dx, dy = place[0] - now.x, place[1] - now.y
                if max(abs(dx), abs(dy)) >= max(0.25, 1.5 * min(abs(dx), abs(dy))):
                    across = abs(dx) > abs(dy)
                    side = ("left" if dx < 0 else "right") if across else ("top" if dy < 0 else "bottom")
                    return replace(now, x=place[0], y=place[1]), side
            return None, ""
        if kind == "recolour":
            colour = random.choice([c for c in COLOURS if c != now.colour])
            after = replace(now, colour=colour)
            return (after if self._new_look(actor, after) else None), colour
        step = 1 if kind == "grow" else -1
        place_in_sizes = SIZES.index(now.size) + step
        if not 0 <= place_in_sizes < len(SIZES):
            return None, ""
        size = SIZES[place_in_sizes]
        radius = RADIUS[size] * (now.radius / RADIUS[now.size])
        x1, y1, x2, y2 = extent(who.shape, now.degrees)
        fits = now.x + x1 * radius >= 0 and now.y + y1 * radius >= 0 and now.x + x2 * radius <= 1 \
            and now.y + y2 * radius <= 1 and self._free(now.x, now.y, radius, actor)
        after = replace(now, size=size, radius=radius)
        return (after if fits and self._new_look(actor, after) else None), size

    def _new_look(self, actor: int, after: Pose) -> bool:
        """Whether nobody else ever looks so; if so it is this actor's from now on."""
        who = self.actors[actor]
        return self.looks.setdefault((who.shape, after.colour, after.size, who.texture), actor) == actor

    def _target(self, actor: int, start: float) -> int | None:
        others = self.random.shuffled([i for i in self.rest if i != actor])
        return next((i for i in others if self._can_bump(actor, i, start)), None)

    def _can_bump(self, actor: int, other: int, start: float) -> bool:
        """Whether the other one is free, there, not too near, and nobody is in the way."""
        a, b = self.rest[actor], self.rest[other]
        if not b.present or self.busy.get(other, 0) > start:
            return False
        dx, dy = b.x - a.x, b.y - a.y
        square = _square(dx, dy)
        if square < _square(a.radius + b.radius + 0.1):
            return False
        for i, o in self.rest.items():
            if i in (actor, other) or not o.present:
                continue
            along = min(max(((o.x - a.x) * dx + (o.y - a.y) * dy) / square, 0), 1)
            if _square(a.x + along * dx - o.x, a.y + along * dy - o.y) < _square(a.radius + o.radius):
                return False
        return True
