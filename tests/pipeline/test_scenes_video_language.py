"""What is said about videos: names that fit one actor only, and sentences that are true."""

import re

import pytest

from pipeline.scenes import COLOURS
from pipeline.scenes.video import KINDS, descriptions, queries, video, video_captions
from tests.pipeline.scene_words import LEXICON

VIDEOS = [*(video(6, index) for index in range(80)), *(video(6, index, 48) for index in range(10))]

# What a reader takes the words for, written independently of the generator's tables.
VERBS = {
    "enter": r"(comes in|enters|slides in) from", "leave": r"(leaves|goes out|slides away) (on|at) the",
    "move": r"(moves|glides|slides) (to the|up|down)", "spin": r"spins|turns round", "jump": r"jumps|hops|bounces",
    "shake": r"shakes|trembles|wobbles", "blink": r"blinks|flashes|flickers", "grow": r"grows|bigger|larger",
    "shrink": r"shrinks|smaller", "recolour": rf"(turns|becomes|changes its colour to) ({'|'.join(COLOURS)})",
    "bump": r"bumps into|hits|runs into", "bell": r"\bbell\b", "drum": r"\bdrum\b", "horn": r"\bhorn\b",
    "bird": r"\bbird\b",
}
SIDES = {"left": r"left", "right": r"right", "top": r"above|top|up", "bottom": r"below|bottom|down"}


def looks(of, actor):
    """Every look an actor ever has, each with the times it has it."""
    poses = [(0.0, actor.first)] + [(e.end, e.after) for e in of.events if e.actor == actor.id]
    return [({"shape": actor.shape, "texture": actor.texture, "colour": p.colour, "size": p.size}, t) for t, p in poses]


def fitting(of, phrase):
    """(actor, times) that the words of a phrase fit, in any look."""
    words = [LEXICON[word] for word in phrase.lower().split() if word in LEXICON]
    assert words, phrase
    return [(a.id, time) for a in of.actors for look, time in looks(of, a) if dict(words).items() <= look.items()]


def sentences(of):
    """(text, phrases, events) of every sentence about events."""
    for query in queries(of):
        yield query.caption.text, query.caption.phrases, query.events[:1]
    for said in descriptions(of):
        yield said.caption.text, said.caption.phrases, said.events


def test_every_phrase_fits_its_actor_and_no_other():
    for of in VIDEOS:
        told = [*(q.caption for q in queries(of)), *video_captions(of), *(d.caption for d in descriptions(of))]
        for caption in told:
            for phrase in caption.phrases:
                assert {actor for actor, _ in fitting(of, caption.text[phrase.start:phrase.end])} == set(phrase.objects)


def test_an_actor_is_named_by_the_look_it_has_when_the_event_begins():
    for of in VIDEOS:
        for text, phrases, events in sentences(of):
            for event in (of.events[i] for i in events):
                for phrase, actor in zip(phrases, (event.actor, event.other), strict=False):
                    assert phrase.objects == (actor,)
                    words = dict(LEXICON[w] for w in text[phrase.start:phrase.end].lower().split() if w in LEXICON)
                    had = [look for look, time in looks(of, of.actors[actor]) if time <= event.start]
                    assert words.items() <= had[-1].items(), text


def test_sentences_say_what_happens_and_nothing_else():
    for of in VIDEOS:
        for text, _, events in sentences(of):
            for event in (of.events[i] for i in events):
                assert [kind for kind in KINDS if re.search(VERBS[kind], text)] == [event.kind], text
                if event.detail in SIDES:
                    assert re.search(rf"\b({SIDES[event.detail]})\b", text), text
                if event.kind == "recolour":
                    assert re.search(VERBS["recolour"], text)[2] == event.detail


def test_a_query_has_all_events_that_it_fits():
    several = 0
    for of in VIDEOS:
        found = queries(of)
        assert sorted(i for query in found for i in query.events) == list(range(len(of.events)))
        assert len({query.caption.text.lower() for query in found}) == len(found)
        for query in found:
            assert len({(of.events[i].kind, of.events[i].actor, of.events[i].detail) for i in query.events}) == 1
            several += len(query.events) > 1
    assert several > 20


def test_captions_are_five_and_most_tell_the_same_event():
    for of in VIDEOS:
        captions = [caption.text for caption in video_captions(of)]
        assert len(set(captions)) == 5
        assert all(re.fullmatch(r"[a-z ]+", text) for text in captions)
        told = [{kind for kind in KINDS if re.search(VERBS[kind], text)} for text in captions]
        assert all(kinds <= {event.kind for event in of.events} and kinds for kinds in told)
        assert max(sum(kind in kinds for kinds in told) for kind in KINDS) >= 3


def test_captions_join_events_in_the_order_they_happen():
    for of in VIDEOS:
        for caption in video_captions(of):
            parts = re.split(r" and then | and later | before ", caption.text)
            if len(parts) == 2:
                kinds = [next(kind for kind in KINDS if re.search(VERBS[kind], part)) for part in parts]
                assert min(e.start for e in of.events if e.kind == kinds[0]) < \
                    max(e.start for e in of.events if e.kind == kinds[1])


def test_descriptions_run_in_order_and_know_what_was_said_before():
    definite = 0
    for of in VIDEOS:
        said = descriptions(of)
        assert [d.start for d in said] == sorted(d.start for d in said)
        assert all(0 <= d.start < d.end <= of.seconds for d in said)
        assert sum(not d.events for d in said) == len(of.shots)
        known = set()
        for one in said:
            for phrase in one.caption.phrases:
                words = one.caption.text[phrase.start:phrase.end]
                assert words.lower().startswith("the ") == (phrase.objects in known), one.caption.text
                known.add(phrase.objects)
                definite += words.lower().startswith("the ")
    assert definite > 100


@pytest.mark.parametrize("index", range(3))
def test_what_is_said_follows_from_seed_and_index(index):
    a, b = video(6, index), video(6, index)
    assert queries(a) == queries(b) and video_captions(a) == video_captions(b) and descriptions(a) == descriptions(b)


def test_the_vocabulary_is_modest():
    words = {w for of in VIDEOS for text, _, _ in sentences(of) for w in re.findall("[a-z]+", text.lower())}
    assert 80 < len(words) < 160
