"""Questions about a scene, each with the program that answers it and the objects it is about.

One of each kind is asked where the scene allows it, and a second one for a colour. What is answered yes or no is so
half of the time, and a no is near a yes: "is there a red star" is asked where there is a red ring or a blue star.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.scenes.language import ScenePhrase
from pipeline.scenes.phrases import Mention, fitting, noun_phrase
from pipeline.scenes.programs import KINDS, Program, Step, arguably_related, execute, related
from pipeline.scenes.rng import Random
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.world import COLOURS, PREDICATES, SIZES, TEXTURES, Scene, SceneObject

VALUES = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "texture": TEXTURES}
"""Kind of attribute -> its values."""
ANSWERS = ("yes", "no", *(str(n) for n in range(9)), *COLOURS, *SHAPES, *SIZES, *TEXTURES)
"""Every possible answer."""
TEN_ANSWERS = ("yes", "no", *COLOURS)
"""The answers of the smaller set of questions: those that are answered by yes, no or one of the eight colours."""

_WORDS = {
    "left of": ("left of", "to the left of"), "right of": ("right of", "to the right of"),
    "above": ("above", "over"), "below": ("below", "under"),
}
_INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_ASKED = {
    "shape": ("what shape is {}?", "what is the shape of {}?"),
    "colour": ("what colour is {}?", "what is the colour of {}?"),
    "size": ("what size is {}?", "how big is {}?"),
    "texture": ("what pattern does {} have?", "what pattern is on {}?"),
}
_SAME = {"shape": "shape", "colour": "colour", "size": "size", "texture": "pattern"}


@dataclass(frozen=True)
class SceneQuestion:
    """One question."""

    kind: str
    """What it takes to answer it: a key of `KINDS_OF_QUESTIONS`."""
    text: str
    answer: str
    """One of `ANSWERS`."""
    program: Program
    phrases: tuple[ScenePhrase, ...]
    """Its noun phrases and all the objects that each fits: possibly none."""
    objects: tuple[int, ...]
    """Ids of the objects to look at for the answer, those it is told by included."""


class _Asked:
    """A question in the making: its words and its program."""

    def __init__(self) -> None:
        self.text = ""
        self.phrases: list[ScenePhrase] = []
        self.steps: list[Step] = []

    def say(self, template: str, *mentions: str | tuple[str, Sequence[int]]) -> None:
        """Add words; each {} is a plain word or a phrase with its objects."""
        pieces = template.split("{}")
        for piece, what in zip(pieces, (*mentions, ""), strict=True):
            self.text += piece
            words = what if isinstance(what, str) else what[0]
            if not isinstance(what, str):
                self.phrases.append(ScenePhrase(len(self.text), len(self.text) + len(words), tuple(what[1])))
            self.text += words

    def step(self, function: str, *inputs: int, value: str = "") -> int:
        """Add a step; gives its number."""
        self.steps.append(Step(function, inputs, value))
        return len(self.steps) - 1

    def filtered(self, start: int, description: dict[str, str]) -> int:
        """Add the filters of a description."""
        for kind, value in description.items():
            start = self.step(f"filter_{kind}", start, value=value)
        return start

    def one(self, description: dict[str, str]) -> int:
        """Add the steps to the one object of a description."""
        return self.step("unique", self.filtered(self.step("scene"), description))


Found = tuple[_Asked, tuple[int, ...]]
"""A question and the objects to look at, in order."""


def questions(of: Scene) -> list[SceneQuestion]:
    """The scene's questions, at most one of each kind and two for colours, in the order of `KINDS_OF_QUESTIONS`."""
    random = Random(of.seed, of.index, 4)
    asked: list[SceneQuestion] = []
    for kind in (*KINDS_OF_QUESTIONS, "query colour"):
        found = KINDS_OF_QUESTIONS[kind](random, of)
        if found is None or any(found[1] == other.objects for other in asked if other.kind == kind):
            continue
        question = found[0]
        answer, _ = execute(tuple(question.steps), of)
        text = question.text[0].upper() + question.text[1:]
        asked.append(SceneQuestion(kind, text, answer, tuple(question.steps), tuple(question.phrases),
                                   found[1]))
    return asked


def _ids(*ids: int) -> tuple[int, ...]:
    return tuple(sorted(set(ids)))


def _some(random: Random, target: SceneObject, without: str = "", most: int = 3) -> dict[str, str]:
    """One to ``most`` attributes of an object, in the order of `KINDS`."""
    kinds = [kind for kind in KINDS if kind != without]
    chosen = random.shuffled(kinds)[:1 + random.integer(most)]
    return {kind: target.attributes[kind] for kind in kinds if kind in chosen}


def _other(random: Random, description: dict[str, str]) -> dict[str, str]:
    """The description with one of its values changed."""
    kind = random.choice(list(description))
    return description | {kind: random.choice([value for value in VALUES[kind] if value != description[kind]])}


def _the(random: Random, of: Scene, target: SceneObject, without: str = "") -> tuple[Mention, dict[str, str]] | None:
    """A name that fits the target alone and says nothing of one kind of attribute; None where there is none."""
    order = [kind for kind in random.shuffled(KINDS) if kind != without]
    order.sort(key=lambda kind: kind != "shape" or random.chance(0.1))
    for count in range(1 + random.integer(2), len(order) + 1):
        description = {kind: target.attributes[kind] for kind in KINDS if kind in order[:count]}
        if fitting(of, description) == (target.id,):
            return Mention(noun_phrase(random, description, plural=False), (target.id,)), description
    return None


def _named(mention: Mention) -> tuple[str, Sequence[int]]:
    return mention.with_article(definite=True), mention.objects


def _things(random: Random, of: Scene, description: dict[str, str]) -> tuple[str, Sequence[int]]:
    return noun_phrase(random, description, plural=True), fitting(of, description)


def _a(random: Random, description: dict[str, str]) -> str:
    return Mention(noun_phrase(random, description, plural=False), (0,)).with_article(definite=False)


def _exist(random: Random, of: Scene) -> Found | None:
    wanted = random.chance(0.5)
    for _ in range(20):
        description = _some(random, random.choice(of.objects))
        if not wanted:
            description = _other(random, description)
        objects = fitting(of, description)
        if bool(objects) == wanted:
            question = _Asked()
            if random.chance(0.7):
                opening = random.choice(("is there {}?", "do you see {}?", "can you see {}?"))
                question.say(opening, (_a(random, description), objects))
            else:
                question.say("are there any {}?", _things(random, of, description))
            question.step("exist", question.filtered(question.step("scene"), description))
            return question, objects
    return None


def _pairs(random: Random, of: Scene, tries: int = 8) -> Iterator[tuple[SceneObject, str, SceneObject]]:
    """So many random choices of a clear relation of the scene; none where it has none."""
    for _ in range(tries if of.relations else 0):
        subject, name, other = random.choice(of.relations)
        yield of.objects[subject], name, of.objects[other]


def _exist_related(random: Random, of: Scene) -> Found | None:
    wanted = random.chance(0.5)
    for subject, name, anchor in _pairs(random, of):
        the = _the(random, of, anchor)
        description = _some(random, subject, most=2)
        if not wanted:
            description = _other(random, description)
        clear = set(related(of, name, anchor)) & set(fitting(of, description))
        arguable = set(arguably_related(of, name, anchor)) & set(fitting(of, description))
        if the is None or bool(clear) != wanted or (arguable and not wanted):
            continue
        question = _Asked()
        opening = random.choice(("is there {} {} {}?", "do you see {} {} {}?"))
        question.say(opening, (_a(random, description), sorted(clear)), random.choice(_WORDS[name]), _named(the[0]))
        near = question.step("relate", question.one(the[1]), value=name)
        question.step("exist", question.filtered(near, description))
        return question, _ids(anchor.id, *clear)
    return None


def _count(random: Random, of: Scene) -> Found | None:
    wanted = random.integer(5)
    description: dict[str, str] = {}
    for _ in range(15):
        description = _some(random, random.choice(of.objects), most=2)
        if wanted == 0:
            description = _other(random, description)
        if len(fitting(of, description)) == wanted:
            break
    things = _things(random, of, description)
    question = _Asked()
    question.say(random.choice(("how many {} are there?", "how many {} do you see?")), things)
    question.step("count", question.filtered(question.step("scene"), description))
    return question, _ids(*things[1])


def _count_same(random: Random, of: Scene) -> Found | None:
    kind = random.choice(KINDS)
    for target in random.shuffled(of.objects):
        the = _the(random, of, target, without=kind)
        if the is not None:
            question = _Asked()
            question.say("how many other {} have the same {} as {}?", random.choice(("things", "shapes", "objects"))
                         if kind != "shape" else "things", _SAME[kind], _named(the[0]))
            question.step("count", question.step(f"same_{kind}", question.one(the[1])))
            same = [o.id for o in of.objects if o.attributes[kind] == target.attributes[kind]]
            return question, _ids(*same)
    return None


def _compare_number(random: Random, of: Scene) -> Found | None:
    wanted = random.chance(0.5)
    template, function = random.choice((
        ("are there more {} than {}?", "greater_than"), ("are there fewer {} than {}?", "less_than"),
        ("are there as many {} as {}?", "equal_integer"),
    ))
    for _ in range(20):
        first, second = (_some(random, random.choice(of.objects), most=2) for _ in range(2))
        a, b = len(fitting(of, first)), len(fitting(of, second))
        true = {"greater_than": a > b, "less_than": a < b, "equal_integer": a == b}[function]
        if first != second and true == wanted:
            question = _Asked()
            question.say(template, _things(random, of, first), _things(random, of, second))
            counts = [question.step("count", question.filtered(question.step("scene"), d)) for d in (first, second)]
            question.step(function, *counts)
            return question, _ids(*fitting(of, first), *fitting(of, second))
    return None


def _query(kind: str) -> Callable[[Random, Scene], Found | None]:
    """What shape, colour, … is the one told by its other attributes, or by where it is."""
    def ask(random: Random, of: Scene) -> Found | None:
        if random.chance(0.4):
            found = _query_related(random, of, kind)
            if found is not None:
                return found
        for target in random.shuffled(of.objects):
            the = _the(random, of, target, without=kind)
            if the is not None:
                question = _Asked()
                question.say(random.choice(_ASKED[kind]), _named(the[0]))
                question.step(f"query_{kind}", question.one(the[1]))
                return question, _ids(target.id)
        return None
    return ask


def _query_related(random: Random, of: Scene, kind: str) -> Found | None:
    for target, name, anchor in _pairs(random, of):
        the = _the(random, of, anchor)
        description = {} if random.chance(0.4) else _some(random, target, without=kind, most=1)
        arguable = set(arguably_related(of, name, anchor)) & set(fitting(of, description))
        if the is None or arguable != {target.id}:
            continue
        question = _Asked()
        words = "the " + noun_phrase(random, description, plural=False)
        template = random.choice(_ASKED[kind]).replace("{}", "{} {} {}")
        question.say(template, (words, (target.id,)), random.choice(_WORDS[name]), _named(the[0]))
        near = question.step("relate", question.one(the[1]), value=name)
        question.step(f"query_{kind}", question.step("unique", question.filtered(near, description)))
        return question, _ids(target.id, anchor.id)
    return None


def _compare(random: Random, of: Scene) -> Found | None:
    kind, wanted = random.choice(KINDS), random.chance(0.5)
    for _ in range(20):
        a, b = random.choice(of.objects), random.choice(of.objects)
        if a.id == b.id or (a.attributes[kind] == b.attributes[kind]) != wanted:
            continue
        first, second = _the(random, of, a, without=kind), _the(random, of, b, without=kind)
        if first is None or second is None:
            continue
        question = _Asked()
        if random.chance(0.5):
            question.say("do {} and {} have the same {}?", _named(first[0]), _named(second[0]), _SAME[kind])
        else:
            question.say("does {} have the same {} as {}?", _named(first[0]), _SAME[kind], _named(second[0]))
        values = [question.step(f"query_{kind}", question.one(description)) for _, description in (first, second)]
        question.step(f"equal_{kind}", *values)
        return question, _ids(a.id, b.id)
    return None


def _related(random: Random, of: Scene) -> Found | None:
    wanted = random.chance(0.5)
    for a, name, b in _pairs(random, of):
        first, second = _the(random, of, a), _the(random, of, b)
        if first is None or second is None:
            continue
        asked = name if wanted else _INVERSE[name]
        question = _Asked()
        question.say("is {} {} {}?", _named(first[0]), random.choice(_WORDS[asked]), _named(second[0]))
        near = question.step("relate", question.one(second[1]), value=asked)
        question.step("exist", question.filtered(near, first[1]))
        return question, _ids(a.id, b.id)
    return None


KINDS_OF_QUESTIONS: dict[str, Callable[[Random, Scene], Found | None]] = {
    "exist": _exist, "exist related": _exist_related, "count": _count, "count same": _count_same,
    "compare number": _compare_number, "query shape": _query("shape"), "query colour": _query("colour"),
    "query size": _query("size"), "query texture": _query("texture"), "compare": _compare, "related": _related,
}
"""Kind -> what asks one; a kind's id is its place here."""

assert set(_INVERSE) == set(_WORDS) == set(PREDICATES)
