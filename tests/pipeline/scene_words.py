"""What the words for objects mean to a reader, written independently of the generator's tables."""

from pipeline.scenes import COLOURS

NUMBERS = {"two": 2, "three": 3, "four": 4}
SHAPES = {"circle": "circle disc", "square": "square", "triangle": "triangle", "star": "star", "heart": "heart",
          "ring": "ring hoop", "cross": "cross plus", "moon": "moon crescent"}
TEXTURES = {"plain": "plain", "striped": "striped stripy stripes", "dotted": "dotted spotted dots",
            "checked": "checked chequered checks"}
SIZES = {"small": "small little", "medium": "medium", "large": "large big"}


def _lexicon():
    words = {colour: ("colour", colour) for colour in COLOURS} | {"violet": ("colour", "purple")}
    for shape, names in SHAPES.items():
        for name in names.split():
            words[name] = words[name + ("es" if name[-1] == "s" else "s")] = ("shape", shape)
    for kind, table in (("texture", TEXTURES), ("size", SIZES)):
        words |= {name: (kind, value) for value, names in table.items() for name in names.split()}
    return words


LEXICON = _lexicon()
"""Word -> (kind, value)."""
SILENT = {"the", "a", "an", "with", "shape", "shapes", "object", "objects", "thing", "things", *NUMBERS}


def understood(phrase):
    """(attributes, number) that a phrase states."""
    words = phrase.lower().split()
    assert set(words) <= SILENT | set(LEXICON), phrase
    return dict(LEXICON[w] for w in words if w in LEXICON), next((NUMBERS[w] for w in words if w in NUMBERS), 1)


def fitting(s, attributes):
    """Ids of a scene's objects that have these attributes."""
    return tuple(o.id for o in s.objects if attributes.items() <= o.attributes.items())


def centre(item, axis):
    """Of an object's or a sign's box."""
    return (item.box[axis] + item.box[axis + 2]) / 2


RELATIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "over": (1, -1), "higher than": (1, -1),
             "below": (1, 1), "under": (1, 1), "lower than": (1, 1)}
"""Words -> axis and direction in which the first's centre lies from the second's."""
