"""Captions: phrases that fit exactly their objects, and statements that are true."""

import re
from itertools import pairwise

import pytest

from pipeline.scenes import COLOURS, captions, scene

SCENES = [scene(11, index) for index in range(120)]
NUMBERS = {"two": 2, "three": 3, "four": 4}


def lexicon():
    """Word -> (kind, value): what the words mean to a reader, written independently of the generator's tables."""
    shapes = {"circle": "circle disc", "square": "square", "triangle": "triangle", "star": "star", "heart": "heart",
              "ring": "ring hoop", "cross": "cross plus", "moon": "moon crescent"}
    textures = {"plain": "plain", "striped": "striped stripy stripes", "dotted": "dotted spotted dots",
                "checked": "checked chequered checks"}
    sizes = {"small": "small little", "medium": "medium", "large": "large big"}
    words = {colour: ("colour", colour) for colour in COLOURS} | {"violet": ("colour", "purple")}
    for shape, names in shapes.items():
        for name in names.split():
            words[name] = words[name + ("es" if name[-1] == "s" else "s")] = ("shape", shape)
    for kind, table in (("texture", textures), ("size", sizes)):
        words |= {name: (kind, value) for value, names in table.items() for name in names.split()}
    return words


LEXICON = lexicon()
SILENT = {"the", "a", "an", "with", "shape", "shapes", "object", "objects", "thing", "things", *NUMBERS}


def understood(phrase):
    """(attributes, number) that a phrase states."""
    words = phrase.lower().split()
    assert set(words) <= SILENT | set(LEXICON), phrase
    return dict(LEXICON[w] for w in words if w in LEXICON), next((NUMBERS[w] for w in words if w in NUMBERS), 1)


def fitting(s, attributes):
    return tuple(o.id for o in s.objects if attributes.items() <= o.attributes.items())


def test_each_phrase_fits_exactly_the_objects_it_is_linked_to():
    groups = 0
    for s in SCENES:
        for caption in captions(s):
            for phrase in caption.phrases:
                attributes, number = understood(caption.text[phrase.start:phrase.end])
                assert fitting(s, attributes) == phrase.objects, caption.text
                assert len(phrase.objects) == number
                groups += number > 1
    assert groups > 20


def test_captions_are_five_different_sentences_that_name_two_to_four_things():
    for s in SCENES:
        five = captions(s)
        assert five == captions(s)
        assert len({c.text for c in five}) == 5
        for caption in five:
            assert 2 <= len(caption.phrases) <= 4
            assert re.fullmatch(r"[A-Z][a-z ,;]*\.", caption.text)
            named = [i for p in caption.phrases for i in p.objects]
            assert len(set(named)) == len(named)
            spans = [(p.start, p.end) for p in caption.phrases]
            assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_captions_together_name_every_object():
    whole = 0
    for s in SCENES:
        whole += {i for c in captions(s) for p in c.phrases for i in p.objects} == {o.id for o in s.objects}
    assert whole / len(SCENES) > 0.95


def test_articles_agree():
    for s in SCENES:
        for caption in captions(s):
            for article, letter in re.findall(r"\b([Aa]n?) (\w)", caption.text):
                assert (article.lower() == "an") == (letter in "aeiou"), caption.text


def centre(s, i, axis):
    box = s.objects[i].box
    return (box[axis] + box[axis + 2]) / 2


RELATIONS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "over": (1, -1), "higher than": (1, -1),
             "below": (1, 1), "under": (1, 1), "lower than": (1, 1)}


PLACES = {"left": (0, True), "right": (0, False), "top": (1, True), "bottom": (1, False)}


def clauses(caption):
    """(start, end) of the parts of a sentence."""
    joints = [m.span() for m in re.finditer(r", and |, while |; ", caption.text)]
    return zip([0, *(end for _, end in joints)], [*(start for start, _ in joints), len(caption.text)], strict=True)


def test_stated_relations_and_places_are_true():
    relations = places = 0
    for s in SCENES:
        for caption in captions(s):
            for start, end in clauses(caption):
                phrases = [p for p in caption.phrases if start <= p.start < end]
                word = re.search("|".join(RELATIONS), caption.text[start:end].lower())
                if word:
                    axis, sign = RELATIONS[word.group()]
                    inverted = start + word.start() < phrases[0].start  # "left of the star there is a ring"
                    subject, other = reversed(phrases) if inverted else phrases
                    for a in subject.objects:
                        for b in other.objects:
                            assert sign * (centre(s, a, axis) - centre(s, b, axis)) > 0, caption.text
                    relations += 1
                for name, (axis, low) in PLACES.items():
                    if len(phrases) == 1 and re.search(rf"\b{name}\b", caption.text[phrases[0].end:end]):
                        assert all((centre(s, i, axis) < 0.5) == low for i in phrases[0].objects), caption.text
                        places += 1
    assert relations > 200 and places > 100


def test_a_caption_tells_its_image_from_two_hundred_others():
    scenes = [scene(12, index) for index in range(201)]
    telling = []
    for s in scenes[:60]:
        for caption in captions(s):
            stated = [understood(caption.text[p.start:p.end]) for p in caption.phrases]
            telling.append(not any(
                all(len(fitting(other, attributes)) >= number for attributes, number in stated)
                for other in scenes if other is not s))
    assert sum(telling) / len(telling) > 0.93  # by the phrases alone: relations and places tell more


def test_the_vocabulary_is_modest():
    words = {w for s in SCENES for c in captions(s) for w in re.findall("[a-z]+", c.text.lower())}
    assert 80 < len(words) <= 150


@pytest.mark.parametrize("index", range(3))
def test_captions_depend_on_the_scene_alone(index):
    assert captions(scene(0, index)) != captions(scene(1, index))
