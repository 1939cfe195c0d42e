"""Captions: phrases that fit exactly their objects, and statements that are true."""

import re
from itertools import pairwise

import pytest

from pipeline.scenes import captions, scene
from tests.pipeline.scene_words import RELATIONS, centre, fitting, understood

SCENES = [scene(11, index) for index in range(120)]


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
                            assert sign * (centre(s.objects[a], axis) - centre(s.objects[b], axis)) > 0, caption.text
                    relations += 1
                for name, (axis, low) in PLACES.items():
                    if len(phrases) == 1 and re.search(rf"\b{name}\b", caption.text[phrases[0].end:end]):
                        assert all((centre(s.objects[i], axis) < 0.5) == low for i in phrases[0].objects), caption.text
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
