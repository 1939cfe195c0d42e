"""Captions: sentences about a scene in which every phrase is linked to the objects it names."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.scenes.phrases import Mention, group_mention, mention
from pipeline.scenes.rng import Random
from pipeline.scenes.world import Scene, predicate

CAPTIONS = 5
"""Captions an image."""

_WORDS = {
    "left of": ("left of", "to the left of"), "right of": ("right of", "to the right of"),
    "above": ("above", "over"), "below": ("below", "under"),
}
_THAN = {"above": ("higher than",), "below": ("lower than",)}
_OPENINGS = (
    "a picture of", "an image of", "an image with", "this picture shows", "we see", "you can see", "here we have",
    "there {be}",
)
_JOINTS = (", and ", ", while ", "; ")


@dataclass(frozen=True)
class ScenePhrase:
    """The span [start, end) of a caption's characters, article included, and the ids of the objects it names."""

    start: int
    end: int
    objects: tuple[int, ...]


@dataclass(frozen=True)
class SceneCaption:
    """One sentence."""

    text: str
    phrases: tuple[ScenePhrase, ...]


class _Sentence:
    """Text that grows from left to right and remembers where its phrases are."""

    def __init__(self, random: Random) -> None:
        self.text = ""
        self.phrases: list[ScenePhrase] = []
        self.definite = random.chance(0.5)

    def say(self, words: str) -> None:
        self.text += words

    def name(self, what: Mention, new: bool = False) -> None:
        """Say a phrase; ``new`` where grammar wants no "the": "there is a red star"."""
        start = len(self.text)
        self.text += what.with_article(self.definite and not new)
        self.phrases.append(ScenePhrase(start, len(self.text), what.objects))

    def finished(self) -> SceneCaption:
        return SceneCaption(self.text[0].upper() + self.text[1:] + ".", tuple(self.phrases))


def captions(of: Scene) -> list[SceneCaption]:
    """The scene's five captions; between them they name as many of its objects as they can."""
    random = Random(of.seed, of.index, 3)
    unnamed = random.shuffled([o.id for o in of.objects])
    written: list[SceneCaption] = []
    while len(written) < CAPTIONS:
        named = {i for caption in written for phrase in caption.phrases for i in phrase.objects}
        order = [i for i in unnamed if i not in named] + random.shuffled([i for i in unnamed if i in named])
        caption = _caption(random, of, order)
        if all(caption.text != other.text for other in written):
            written.append(caption)
    return written


def _caption(random: Random, of: Scene, order: list[int]) -> SceneCaption:
    """A caption naming two to four things, the first of ``order`` first."""
    count = random.choice((2, 2, 3, 3, 3, 4))
    mentions: list[Mention] = []
    for target in order:
        taken = {i for m in mentions for i in m.objects}
        if target in taken or len(mentions) == count:
            continue
        group = None
        if random.chance(0.15) and len(taken) == len(mentions):  # one group a caption
            group = group_mention(random, of, of.objects[target])
        if group is None or taken & set(group.objects) or len(taken) + len(group.objects) > len(of.objects) - 1:
            mentions.append(mention(random, of, of.objects[target], detail=0.85 if count == 2 else 0.6))
        else:
            mentions.append(group)
    sentence = _Sentence(random)
    if random.chance(0.25):
        _list(random, sentence, mentions)
    else:
        _clauses(random, of, sentence, mentions)
    return sentence.finished()


def _list(random: Random, sentence: _Sentence, mentions: list[Mention]) -> None:
    """"A picture of a red star, two blue rings and a small heart"."""
    sentence.say(random.choice(_OPENINGS).format(be=_be(mentions[0])) + " ")
    for i, what in enumerate(mentions):
        sentence.say("" if i == 0 else " and " if i == len(mentions) - 1 else ", ")
        sentence.name(what, new=True)


def _clauses(random: Random, of: Scene, sentence: _Sentence, mentions: list[Mention]) -> None:
    """Clauses that relate two mentions, or place one, until all are used."""
    left = list(mentions)
    while left:
        first = left.pop(0)
        if sentence.text:
            sentence.say(random.choice(_JOINTS))
        related = [(other, name) for other in left if (name := _relation(of, first, other))]
        if related:
            other, name = random.choice(related)
            left.remove(other)
            _relate(random, sentence, first, name, other)
        elif (place := _place(random, of, first)) is not None:
            sentence.name(first)
            sentence.say(f" {_be(first)} {place}")
        else:
            sentence.say(random.choice(("there {be} ", "we see ", "you can see ")).format(be=_be(first)))
            sentence.name(first, new=True)


def _relate(random: Random, sentence: _Sentence, first: Mention, name: str, other: Mention) -> None:
    """A clause saying that ``name`` holds between two mentions, in one of four ways."""
    style = random.integer(4)
    if style == 0:  # "below the star there is a ring"
        sentence.say(random.choice(_WORDS[name]) + " ")
        sentence.name(other)
        sentence.say(f" there {_be(first)} ")
        sentence.name(first, new=True)
        return
    if style == 1:  # "there is a ring below the star"
        sentence.say(f"there {_be(first)} ")
        sentence.name(first, new=True)
        sentence.say(f" {random.choice(_WORDS[name])} ")
    elif style == 2:  # "the ring sits below the star"
        sentence.name(first)
        verb = random.choice(("sits", "lies") if len(first.objects) == 1 else ("sit", "lie"))
        sentence.say(f" {verb} {random.choice(_WORDS[name])} ")
    else:  # "the ring is lower than the star"
        sentence.name(first)
        sentence.say(f" {_be(first)} {random.choice(_WORDS[name] + _THAN.get(name, ()))} ")
    sentence.name(other)


def _be(what: Mention) -> str:
    return "is" if len(what.objects) == 1 else "are"


def _relation(of: Scene, first: Mention, other: Mention) -> str | None:
    """The predicate that holds clearly between every object of one mention and every object of the other."""
    names = {predicate(of.objects[a], of.objects[b]) for a in first.objects for b in other.objects}
    return names.pop() if len(names) == 1 else None


def _place(random: Random, of: Scene, what: Mention) -> str | None:
    """Where in the image all the objects of a mention clearly are."""
    boxes = [of.objects[i].box for i in what.objects]
    across = [(x1 + x2) / 2 for x1, _, x2, _ in boxes]
    down = [(y1 + y2) / 2 for _, y1, _, y2 in boxes]
    column = "left" if max(across) < 0.3 else "right" if min(across) > 0.7 else ""
    row = "top" if max(down) < 0.3 else "bottom" if min(down) > 0.7 else ""
    if column and row:
        return random.choice((f"in the {row} {column} corner", f"at the {row} {column}"))
    if row:
        return f"at the {row}"
    if column:
        return random.choice((f"on the {column}", f"on the {column} side"))
    if all(0.37 < place < 0.63 for place in across + down):
        return random.choice(("in the middle", "in the centre"))
    return None
