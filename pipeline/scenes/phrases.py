"""Noun phrases: words that fit exactly the objects they are meant for, and no others in the scene."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.scenes.rng import Random
from pipeline.scenes.world import Scene, SceneObject

NOUNS = {
    "circle": ("circle", "disc"), "square": ("square",), "triangle": ("triangle",), "star": ("star",),
    "heart": ("heart",), "ring": ("ring", "hoop"), "cross": ("cross", "plus"), "moon": ("moon", "crescent"),
}
"""Words for each shape."""
ANYTHING = ("shape", "object", "thing")
"""Words for any shape."""
ADJECTIVES = {
    "small": ("small", "little"), "medium": ("medium",), "large": ("large", "big"),
    "purple": ("purple", "violet"),
    "plain": ("plain",), "striped": ("striped", "stripy"), "dotted": ("dotted", "spotted"),
    "checked": ("checked", "chequered"),
}
"""Words for sizes, textures and colours; a colour that is not here goes by its own name."""
AFTER = {"striped": "with stripes", "dotted": "with dots", "checked": "with checks"}
"""Textures that can also follow the noun."""
NUMBERS = {2: "two", 3: "three", 4: "four"}
"""Words for the number of objects one phrase names."""

_ORDER = ("size", "colour", "texture")


@dataclass(frozen=True)
class Mention:
    """A noun phrase without its article, and the ids of the objects that it names: all that fit it."""

    words: str
    objects: tuple[int, ...]

    def with_article(self, definite: bool) -> str:
        """"the red star", "an orange ring", "two hearts" or "the two hearts"."""
        if len(self.objects) > 1:
            words = f"{NUMBERS[len(self.objects)]} {self.words}"
            return f"the {words}" if definite else words
        if definite:
            return f"the {self.words}"
        return f"an {self.words}" if self.words[0] in "aeiou" else f"a {self.words}"


def fitting(scene: Scene, description: dict[str, str]) -> tuple[int, ...]:
    """Ids of the objects with all the attributes of a description."""
    return tuple(o.id for o in scene.objects if description.items() <= o.attributes.items())


def mention(random: Random, scene: Scene, target: SceneObject, detail: float) -> Mention:
    """Name one object, with each further attribute at the chance ``detail``, and as many as telling it apart takes."""
    keep = {"shape": 0.96, "colour": 0.95, "size": detail, "texture": detail}
    chosen = {kind for kind, chance in keep.items() if random.chance(chance)}
    spare = random.shuffled([kind for kind in keep if kind not in chosen])
    while True:
        description = {kind: value for kind, value in target.attributes.items() if kind in chosen}
        if fitting(scene, description) == (target.id,):
            return Mention(noun_phrase(random, description, plural=False), (target.id,))
        chosen.add(spare.pop())  # never runs out: no two objects have all in common


def group_mention(random: Random, scene: Scene, target: SceneObject) -> Mention | None:
    """Name two to four objects by what they share with the target; None where it shares nothing with so few."""
    for chosen in random.shuffled(_SHARED):
        description = {kind: value for kind, value in target.attributes.items() if kind in chosen}
        objects = fitting(scene, description)
        if len(objects) in NUMBERS:
            return Mention(noun_phrase(random, description, plural=True), objects)
    return None


_SHARED = (
    ("shape", "colour"), ("shape", "texture"), ("shape", "size"), ("shape", "colour", "texture"),
    ("shape", "colour", "size"), ("colour", "texture"), ("shape",),
)


def noun_phrase(random: Random, description: dict[str, str], plural: bool) -> str:
    """Words for a description, without an article: "big red star", "shapes with stripes"."""
    noun = random.choice(NOUNS[description["shape"]] if "shape" in description else ANYTHING)
    if plural:
        noun += "es" if noun.endswith("s") else "s"
    words, after = [], []
    for kind in _ORDER:
        value = description.get(kind)
        if value in AFTER and random.chance(0.2):
            after.append(AFTER[value])
        elif value is not None:
            words.append(random.choice(ADJECTIVES.get(value, (value,))))
    return " ".join([*words, noun, *after])
