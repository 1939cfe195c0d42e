"""Questions about the signs of a scene; most of their answers have to be read off a sign.

Two of five questions are answered by a word of a small vocabulary (a colour, a number, yes or no), three by what a
sign says: words of `pipeline.scenes.signs.WORDS`, but more often made-up ones that no vocabulary holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.scenes.language import ScenePhrase
from pipeline.scenes.phrases import Mention, fitting, noun_phrase
from pipeline.scenes.rng import Random
from pipeline.scenes.signs import WORDS
from pipeline.scenes.world import Scene, SceneObject, Sign

READ, KNOWN = 3, 2
"""Questions an image whose answers are read, and whose answers are known words."""
_SAYS = ("what does {} say?", "what is written on {}?", "what can you read on {}?")
_WORDS = {
    "left of": ("left of", "to the left of"), "right of": ("right of", "to the right of"),
    "above": ("above", "over"), "below": ("below", "under"),
}
_CLEAR = 0.03


@dataclass(frozen=True)
class SceneTextQuestion:
    """One question."""

    kind: str
    text: str
    answer: str
    """In lower case; the lines of a sign with a space between."""
    copied: bool
    """Whether the answer is what a sign says."""
    phrases: tuple[ScenePhrase, ...]
    """Its noun phrases for objects."""
    signs: tuple[int, ...]
    """Ids of the signs to look at for the answer."""
    objects: tuple[int, ...]
    """Ids of the objects that a sign is told by."""


Place = tuple[float, float]


def text_questions(of: Scene) -> list[SceneTextQuestion]:
    """The questions of a scene with signs, those to be read first; as many as it allows."""
    random = Random(of.seed, of.index, 12)
    asked: list[SceneTextQuestion] = []
    for kinds, wanted in ((_READ, READ), (_KNOWN, KNOWN)):
        found: list[SceneTextQuestion] = []
        for _ in range(6 * wanted):
            kind = random.choice(tuple(kinds))
            one = kinds[kind](random, of, kind)
            if one is not None and all((kind, one.signs) != (other.kind, other.signs) for other in found):
                found.append(one)
            if len(found) == wanted:
                break
        asked += found
    return asked


def said(sign: Sign) -> str:
    """What a sign says, in lower case."""
    return " ".join(sign.lines).lower()


def _read(kind: str, random: Random, name: str, sign: Sign, phrases: tuple[ScenePhrase, ...] = (),
          objects: tuple[int, ...] = ()) -> SceneTextQuestion:
    template = random.choice(_SAYS)
    text = template.format(name)
    before = template.index("{}")
    moved = tuple(ScenePhrase(p.start + before, p.end + before, p.objects) for p in phrases)
    return SceneTextQuestion(kind, text[0].upper() + text[1:], said(sign), True, moved, (sign.id,), objects)


def _of_colour(random: Random, of: Scene, kind: str) -> SceneTextQuestion | None:
    sign = random.choice(of.signs)
    if sum(other.colour == sign.colour for other in of.signs) > 1:
        return None
    return _read(kind, random, f"the {sign.colour} sign", sign)


def _at_edge(random: Random, of: Scene, kind: str) -> SceneTextQuestion | None:
    """The leftmost, rightmost, top or bottom sign, where it clearly is."""
    axis, sign = random.integer(2), random.choice((1, -1))
    order = sorted(of.signs, key=lambda s: sign * (s.y if axis else s.x))
    gap = abs(_centre(order[0])[axis] - _centre(order[1])[axis])
    names = {(0, 1): ("the leftmost sign", "the sign on the far left"), (1, 1): ("the top sign", "the highest sign"),
             (0, -1): ("the rightmost sign", "the sign on the far right"),
             (1, -1): ("the bottom sign", "the lowest sign")}
    return _read(kind, random, random.choice(names[axis, sign]), order[0]) if gap > 2 * _CLEAR else None


def _largest(random: Random, of: Scene, kind: str) -> SceneTextQuestion | None:
    order = sorted(of.signs, key=lambda s: -s.width * s.height)
    if order[0].width * order[0].height < 1.3 * order[1].width * order[1].height:
        return None
    return _read(kind, random, random.choice(("the largest sign", "the biggest sign")), order[0])


def _beside(random: Random, of: Scene, kind: str) -> SceneTextQuestion | None:
    """The one sign on a side of a named object."""
    for _ in range(8):
        anchor = random.choice(of.objects)
        name = _name(random, of, anchor)
        side, (axis, way) = random.choice(tuple(_SIDES.items()))
        there = [s for s in of.signs if way * (_centre(s)[axis] - _middle(anchor)[axis]) > 0]
        if name is None or len(there) != 1:
            continue
        away = [abs(a - b) for a, b in zip(_centre(there[0]), _middle(anchor), strict=True)]
        if away[axis] < max(0.1, away[1 - axis]):
            continue
        words = name.with_article(definite=True)
        before = f"the sign {random.choice(_WORDS[side])} "
        phrase = ScenePhrase(len(before), len(before) + len(words), name.objects)
        return _read(kind, random, before + words, there[0], (phrase,), (anchor.id,))
    return None


def _number(random: Random, of: Scene, kind: str) -> SceneTextQuestion | None:
    numbers = [(sign, line) for sign in of.signs for line in sign.lines if line.isdigit()]
    if len(numbers) != 1:
        return None
    sign, line = numbers[0]
    text = random.choice(("Which number can you read?", "What number is on a sign?", "What is the number?"))
    return SceneTextQuestion(kind, text, line, True, (), (sign.id,), ())


def _colour_of(random: Random, of: Scene, kind: str) -> SceneTextQuestion:
    sign = random.choice(of.signs)
    text = random.choice(("What colour is the sign that says {}?", "What is the colour of the {} sign?"))
    return SceneTextQuestion(kind, text.format(said(sign)), sign.colour, False, (), (sign.id,), ())


def _count(random: Random, of: Scene, kind: str) -> SceneTextQuestion:
    text = random.choice(("How many signs are there?", "How many signs do you see?"))
    return SceneTextQuestion(kind, text, str(len(of.signs)), False, (), tuple(s.id for s in of.signs), ())


def _exists(random: Random, of: Scene, kind: str) -> SceneTextQuestion:
    """Whether a word is on a sign; a no asks for another word."""
    yes = random.chance(0.5)
    sign, line = random.choice([(s, line) for s in of.signs for line in s.lines])
    shown = {line for s in of.signs for line in s.lines}
    word = line if yes else random.choice([w for w in WORDS if w not in shown])
    text = random.choice(("Does a sign say {}?", "Can you read the word {}?", "Is {} written somewhere?"))
    if word.isdigit():
        text = "Does a sign say {}?"
    return SceneTextQuestion(kind, text.format(word.lower()), "yes" if yes else "no", False, (),
                             (sign.id,) if yes else (), ())


_SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
_Ask = Callable[[Random, Scene, str], SceneTextQuestion | None]
_READ: dict[str, _Ask] = {
    "sign of colour": _of_colour, "sign at edge": _at_edge, "largest sign": _largest, "sign beside": _beside,
    "number": _number,
}
_KNOWN: dict[str, _Ask] = {"colour of sign": _colour_of, "count signs": _count, "word exists": _exists}
KINDS_OF_TEXT_QUESTIONS = (*_READ, *_KNOWN)
"""What the questions ask for; those to be read first."""


def _name(random: Random, of: Scene, target: SceneObject) -> Mention | None:
    """The shortest of a few names that fit the object alone."""
    for kinds in (("shape",), ("colour", "shape"), ("shape", "texture"), ("size", "colour", "shape")):
        description = {kind: target.attributes[kind] for kind in kinds}
        if fitting(of, description) == (target.id,):
            return Mention(noun_phrase(random, description, plural=False), (target.id,))
    return None


def _centre(sign: Sign) -> Place:
    return sign.x, sign.y


def _middle(of: SceneObject) -> Place:
    x1, y1, x2, y2 = of.box
    return (x1 + x2) / 2, (y1 + y2) / 2
