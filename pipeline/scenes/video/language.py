"""What is said about a video: queries for its moments, five captions, and a running description.

Every phrase is linked to the actor it names. A name fits only this actor in this look, in the whole video: "the red
star" that turns blue is "the blue star" from then on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.scenes.language import CAPTIONS, SceneCaption, ScenePhrase
from pipeline.scenes.phrases import Mention, mention
from pipeline.scenes.rng import Random
from pipeline.scenes.video.motion import pose, pose_at_rest
from pipeline.scenes.video.world import CLIP, Event, Pose, Video
from pipeline.scenes.world import Scene, SceneObject

SAID = {
    "enter": ("{a} comes in from {from}", "{a} enters from {from}", "{a} slides in from {from}"),
    "leave": ("{a} leaves {out}", "{a} goes out {out}", "{a} slides away {out}"),
    "move": ("{a} moves {way}", "{a} glides {way}", "{a} slides {way}"),
    "spin": ("{a} spins", "{a} spins around", "{a} turns round and round"),
    "jump": ("{a} jumps up and down", "{a} hops up and down", "{a} bounces"),
    "shake": ("{a} shakes", "{a} trembles", "{a} wobbles from side to side"),
    "blink": ("{a} blinks", "{a} flashes", "{a} flickers on and off"),
    "grow": ("{a} grows", "{a} gets bigger", "{a} becomes larger"),
    "shrink": ("{a} shrinks", "{a} gets smaller", "{a} becomes smaller"),
    "recolour": ("{a} turns {colour}", "{a} becomes {colour}", "{a} changes its colour to {colour}"),
    "bump": ("{a} bumps into {b}", "{a} hits {b}", "{a} runs into {b}"),
    "bell": ("a bell rings", "a bell is ringing", "a bell can be heard"),
    "drum": ("a drum beats", "a drum is beating", "a drum can be heard"),
    "horn": ("a horn blows", "a horn is blowing", "a horn can be heard"),
    "bird": ("a bird chirps", "a bird is singing", "a bird can be heard"),
}
"""Kind of event -> three ways to tell it; {a} is its actor, {b} whom it bumps into."""
_FROM = {"left": "the left", "right": "the right", "top": "above", "bottom": "below"}
_OUT = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
_WAY = {"left": "to the left", "right": "to the right", "top": "up", "bottom": "down"}
_WHERE = {
    "studio": "in a studio", "table": "on a wooden table", "wall": "on a tiled wall", "paper": "on squared paper",
    "sky": "in the sky", "hills": "over the hills", "night": "in the night sky",
}
_USUAL = (0, 0, 0, 0, 1, 1, 2)
_THEN = (" and then ", " and later ", " before ")
_WEIGHT = {"small": 0.8, "medium": 1.0, "large": 1.2}


@dataclass(frozen=True)
class Query:
    """A sentence about one kind of event, and every event of the video that it fits."""

    caption: SceneCaption
    events: tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """A sentence of the running description and the time it describes, in seconds."""

    caption: SceneCaption
    start: float
    end: float
    events: tuple[int, ...]


class _Names:
    """Names for the actors in each of their looks."""

    def __init__(self, of: Video, random: Random) -> None:
        self.random = random
        self.looks: list[tuple[int, str, str]] = []
        for actor in of.actors:
            poses = [actor.first, *(e.after for e in of.events if e.actor == actor.id and e.after is not None)]
            for now in poses:
                if (actor.id, now.colour, now.size) not in self.looks:
                    self.looks.append((actor.id, now.colour, now.size))
        things = tuple(
            SceneObject(i, of.actors[actor].shape, colour, size, of.actors[actor].texture, 0.5, 0.5, 0.1, 0, 0.0)
            for i, (actor, colour, size) in enumerate(self.looks)
        )
        self.scene = Scene(of.seed, of.index, things, of.shots[0].label)

    def name(self, actor: int, now: Pose, detail: float) -> Mention:
        """A name of an actor as it looks now; its objects are the actor."""
        look = self.looks.index((actor, now.colour, now.size))
        words = mention(self.random, self.scene, self.scene.objects[look], detail).words
        return Mention(words, (actor,))


def same(of: Video, a: Event, b: Event) -> bool:
    """Whether one sentence fits both events: the same, of the same actors, looking the same."""
    def look(event: Event) -> tuple[object, ...]:
        now = event.before
        other = None if event.other is None else pose_at_rest(of, of.actors[event.other], event.start)
        return (event.kind, event.actor, event.other, event.detail, now and (now.colour, now.size),
                other and (other.colour, other.size))
    return look(a) == look(b)


def groups(of: Video) -> list[tuple[Event, ...]]:
    """The events, those that one sentence fits together, in the order of the first."""
    found: list[tuple[Event, ...]] = []
    for event in of.events:
        for i, group in enumerate(found):
            if same(of, group[0], event):
                found[i] = (*group, event)
                break
        else:
            found.append((event,))
    return found


def queries(of: Video) -> list[Query]:
    """One query for each group of events."""
    random = Random(of.seed, of.index, 23)
    names = _Names(of, random)
    found = []
    for group in groups(of):
        definite = random.chance(0.5)
        caption = _finished(*_clause(of, names, group[0], random.choice(SAID[group[0].kind]), definite, 0.5))
        found.append(Query(caption, tuple(event.id for event in group)))
    return found


def video_captions(of: Video) -> list[SceneCaption]:
    """Five different captions, lower-case and without a full stop, as people write them under clips.

    The longest event of the largest actor is the video's main one, which most of the captions tell.
    """
    random = Random(of.seed, of.index, 24)
    names = _Names(of, random)
    ranked = sorted((group[0] for group in groups(of)), key=lambda event: -prominence(event))
    written: list[SceneCaption] = []
    while len(written) < CAPTIONS:
        told = [ranked[0] if not written or random.chance(0.8) else random.choice(ranked)]
        others = [event for event in ranked[:4] if event is not told[0]]
        if others and random.chance(0.6):
            told.append(random.choice(others))
        told.sort(key=lambda event: event.id)
        text, phrases = "", list[ScenePhrase]()
        for i, event in enumerate(told):
            if i:
                text += " while " if event.start < told[0].end else random.choice(_THEN)
            clause, linked = _clause(of, names, event, SAID[event.kind][random.choice(_USUAL)], False, 0.35)
            phrases += [ScenePhrase(p.start + len(text), p.end + len(text), p.objects) for p in linked]
            text += clause
        if random.chance(0.3):
            text += " " + _WHERE[of.shots[of.shot_at(told[0].start)].label]
        if all(text != other.text for other in written):
            written.append(SceneCaption(text, tuple(phrases)))
    return written


def prominence(event: Event) -> float:
    """How much an event stands out: its seconds, more for something large, half for what is only heard."""
    return (event.end - event.start) * (0.5 if event.before is None else _WEIGHT[event.before.size])


def descriptions(of: Video) -> list[Description]:
    """The running description: what there is when a shot begins, then a sentence an event.

    Like an audio description it needs what was said before: at its first mention an actor is "a red star", then "the
    red star"; what has happened before happens "again".
    """
    random = Random(of.seed, of.index, 25)
    names = _Names(of, random)
    known: set[tuple[int, str, str]] = set()
    written: list[Description] = []
    for number, shot in enumerate(of.shots):
        events = [event for event in of.events if shot.start <= event.start < shot.end]
        written.append(_opening(of, names, known, number))
        for event in events:
            template = random.choice(SAID[event.kind])
            text, phrases = _clause(of, names, event, template, known, 0.8)
            if any(same(of, event, e) for e in of.events[:event.id]):
                text += " again"
            written.append(Description(_finished(text, phrases), event.start, event.end, (event.id,)))
    return written


def _opening(of: Video, names: _Names, known: set[tuple[int, str, str]], shot: int) -> Description:
    """"On a wooden table there are a red star and two hoops": the actors that are there when a shot begins."""
    start = of.shots[shot].start
    text = _WHERE[of.shots[shot].label] + " there "
    phrases: list[ScenePhrase] = []
    seen = [(actor, now) for actor in of.actors if (now := pose(of, actor, start)) is not None]
    text += "are " if len(seen) > 1 else "is "
    for i, (actor, now) in enumerate(seen):
        text += "" if i == 0 else " and " if i == len(seen) - 1 else ", "
        words = names.name(actor.id, now, 0.8).with_article(False)
        phrases.append(ScenePhrase(len(text), len(text) + len(words), (actor.id,)))
        text += words
        known.add((actor.id, now.colour, now.size))
    return Description(_finished(text, phrases), float(start), float(start + CLIP), ())


def _clause(
    of: Video, names: _Names, event: Event, template: str, definite: bool | set[tuple[int, str, str]], detail: float,
) -> tuple[str, list[ScenePhrase]]:
    """A sentence about an event, not yet capitalised; ``definite`` may be the looks that are known by now.

    A look that is known, or becomes so by a change that is told, takes "the" from then on.
    """
    poses = {}
    if event.actor is not None and event.before is not None:
        poses["a"] = (event.actor, event.before)
    if event.other is not None:
        poses["b"] = (event.other, pose_at_rest(of, of.actors[event.other], event.start))
    plain = {"from": _FROM.get(event.detail, ""), "out": _OUT.get(event.detail, ""), "way": _WAY.get(event.detail, ""),
             "colour": event.detail}
    text, phrases = "", []
    for piece in re.split(r"(\{\w+\})", template):
        slot = piece[1:-1] if piece.startswith("{") else None
        if slot in poses:
            actor, now = poses[slot]
            look = (actor, now.colour, now.size)
            the = definite if isinstance(definite, bool) else look in definite
            words = names.name(actor, now, detail).with_article(the)
            phrases.append(ScenePhrase(len(text), len(text) + len(words), (actor,)))
            text += words
            if not isinstance(definite, bool):
                definite.add(look)
                if slot == "a" and event.after is not None:
                    definite.add((actor, event.after.colour, event.after.size))
        else:
            text += piece if slot is None else plain[slot]
    return text, phrases


def _finished(text: str, phrases: Sequence[ScenePhrase]) -> SceneCaption:
    return SceneCaption(text[0].upper() + text[1:] + ".", tuple(phrases))
