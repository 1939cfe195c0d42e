"""Where an actor is, and how it looks, at any time: its pose at rest, changed by the event under way.

Only arithmetic that IEEE 754 defines to the last bit is used, so that the same pixels come out on every machine.
"""

from __future__ import annotations

import math
from dataclasses import replace

from pipeline.scenes.video.world import Actor, Event, Pose, Video

_SWAY = 0.006
_HOP, _HOP_SECONDS = 0.13, 0.75
_TREMBLE, _TREMBLE_HERTZ = 0.035, 2.0
BLINK_SECONDS = 1.0
"""A blinking actor is there for the first half of this, and gone for the second."""
_TURN_SECONDS = 1.25
_RECOIL = 0.07
CONTACT = 0.5
"""When in its course, 0..1, a bump's two actors touch."""


def pose(of: Video, actor: Actor, time: float) -> Pose | None:
    """The actor at a time in seconds; None while it is not there. It may be partly or wholly outside the picture."""
    shot = of.shots[actor.shot]
    if not shot.start <= time < shot.end:
        return None
    last, pushed = None, None
    for event in of.events:
        if event.start > time:
            break
        if event.actor == actor.id:
            last = event
        elif event.other == actor.id and time < event.end:
            pushed = event
    now = actor.first
    if last is not None:
        assert last.before is not None and last.after is not None
        now = last.after if time >= last.end else _acting(of, actor, last, time)
    if not now.present:
        return None
    if pushed is not None:
        now = _pushed(of, now, pushed, time)
    return replace(now, x=now.x + _SWAY * wave(time / 19 + actor.sway[0]),
                   y=now.y + _SWAY * wave(time / 13 + actor.sway[1]))


def _acting(of: Video, actor: Actor, event: Event, time: float) -> Pose:
    """The actor in the middle of its event."""
    before, after = event.before, event.after
    assert before is not None and after is not None
    length, passed = event.end - event.start, time - event.start
    done = passed / length
    if event.kind == "enter":
        return _between(outside(after, event.detail), after, ease(done))
    if event.kind == "leave":
        return _between(before, outside(before, event.detail), ease(done))
    if event.kind in ("move", "grow", "shrink"):
        return _between(before, after, ease(done))
    if event.kind == "spin":
        turns = max(1, round(length / _TURN_SECONDS))
        return replace(before, degrees=round(before.degrees + 360 * turns * ease(done)) % 360)
    if event.kind == "jump":
        hop = done * hops(event)
        hop -= int(hop)
        height = min(_HOP, before.y - 0.6 * before.radius)
        return replace(before, y=before.y - height * 4 * hop * (1 - hop))
    if event.kind == "shake":
        return replace(before, x=before.x + _TREMBLE * wave(passed * _TREMBLE_HERTZ))
    if event.kind == "blink":
        cycle = passed / BLINK_SECONDS
        return replace(before, present=cycle - int(cycle) < 0.5)
    if event.kind == "recolour":
        return replace(before, towards=after.colour, blend=ease(done))
    partner = next(a for a in of.actors if a.id == event.other)  # a bump
    target = pose_at_rest(of, partner, event.start)
    return _between(before, _touching(before, target), ease_in(done))


def hops(event: Event) -> int:
    """How often a jumping actor leaves the ground, in equal parts of the event."""
    return max(2, round((event.end - event.start) / _HOP_SECONDS))


def pose_at_rest(of: Video, actor: Actor, time: float) -> Pose:
    """The actor as its last event that has ended left it."""
    rest = actor.first
    for event in of.events:
        if event.actor == actor.id and event.end <= time and event.after is not None:
            rest = event.after
    return rest


def _pushed(of: Video, now: Pose, event: Event, time: float) -> Pose:
    """An actor that has been bumped into: it gives way and comes back."""
    done = (time - event.start) / (event.end - event.start)
    assert event.before is not None
    if done < CONTACT:
        return now
    part = (done - CONTACT) / (1 - CONTACT)
    push = _RECOIL * 6.75 * part * (1 - part) * (1 - part)  # 1 at most, a third of the way
    dx, dy = now.x - event.before.x, now.y - event.before.y
    distance = math.sqrt(dx * dx + dy * dy)
    return replace(now, x=now.x + dx / distance * push, y=now.y + dy / distance * push)


def _touching(mover: Pose, target: Pose) -> Pose:
    """The mover where it touches the target, come straight from its place."""
    dx, dy = target.x - mover.x, target.y - mover.y
    distance = math.sqrt(dx * dx + dy * dy)
    way = 1 - 0.9 * (mover.radius + target.radius) / distance
    return replace(mover, x=mover.x + dx * way, y=mover.y + dy * way)


def outside(rest: Pose, side: str) -> Pose:
    """The pose moved straight out of the picture through one of its sides, shadow and all."""
    far = rest.radius + 0.06
    place = {"left": (-far, rest.y), "right": (1 + far, rest.y), "top": (rest.x, -far), "bottom": (rest.x, 1 + far)}
    x, y = place[side]
    return replace(rest, x=x, y=y, present=True)


def _between(a: Pose, b: Pose, part: float) -> Pose:
    return replace(a, x=a.x + (b.x - a.x) * part, y=a.y + (b.y - a.y) * part,
                   radius=a.radius + (b.radius - a.radius) * part, present=True)


def ease(part: float) -> float:
    """0..1 to 0..1, slow at both ends."""
    return part * part * (3 - 2 * part)


def ease_in(done: float) -> float:
    """There and back: faster and faster to 1 at `CONTACT`, then slowly back to 0."""
    if done < CONTACT:
        return (done / CONTACT) * (done / CONTACT)
    return 1 - ease((done - CONTACT) / (1 - CONTACT))


def wave(turns: float) -> float:
    """A wave of period 1 between -1 and 1, as near to a sine as two parabolas come."""
    part = turns - (turns // 1) - 0.5
    return part * (8 - 16 * abs(part))
