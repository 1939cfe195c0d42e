"""Questions: their words, their programs and the pictures agree, and no answer gives itself away."""

import re
from collections import Counter, defaultdict

import pytest

from pipeline.scenes import scene
from pipeline.scenes.flavours import few_scene
from pipeline.scenes.programs import Step, execute
from pipeline.scenes.questions import ANSWERS, KINDS_OF_QUESTIONS, TEN_ANSWERS, questions
from tests.pipeline.scene_words import LEXICON, RELATIONS, centre, fitting

SCENES = [scene(21, index) for index in range(250)]
ASKED = [(s, q) for s in SCENES for q in questions(s)]
KIND = r"\b(colour|shape|size|pattern|big)\b"
KINDS = {"colour": "colour", "shape": "shape", "size": "size", "pattern": "texture", "big": "size"}


def named(s, words):
    """Ids of the objects that fit the words of a phrase."""
    return fitting(s, dict(LEXICON[word] for word in words.lower().split() if word in LEXICON))


def parts(q):
    """The phrases of a question in words, and the question without them."""
    phrases = [q.text[p.start:p.end] for p in q.phrases]
    rest = q.text
    for p in reversed(q.phrases):
        rest = rest[:p.start] + "#" + rest[p.end:]
    return phrases, rest.lower()


def beside(s, relation, anchor, among):
    """Who of ``among`` has its centre on that side of the anchor."""
    axis, sign = RELATIONS[relation]
    limit = sign * centre(s.objects[anchor], axis)
    return [i for i in among if i != anchor and sign * centre(s.objects[i], axis) > limit]


def read_answer(s, q):
    """The answer by reading the question's words and looking at the objects, not at the program."""
    phrases, rest = parts(q)
    relation = next((word for word in RELATIONS if re.search(rf"\b{word}\b", rest)), None)
    kind = (asked := re.search(KIND, rest)) and KINDS[asked[1]]
    sets = [named(s, words) for words in phrases]
    if q.kind == "exist":
        return "yes" if sets[0] else "no"
    if q.kind == "exist related":
        return "yes" if beside(s, relation, sets[1][0], sets[0]) else "no"
    if q.kind == "count":
        return str(len(sets[0]))
    if q.kind == "count same":
        return str(sum(o.attributes[kind] == s.objects[sets[0][0]].attributes[kind] for o in s.objects) - 1)
    if q.kind == "compare number":
        a, b = map(len, sets)
        return "yes" if (a > b if "more" in rest else a < b if "fewer" in rest else a == b) else "no"
    if q.kind == "compare":
        return "yes" if len({s.objects[found[0]].attributes[kind] for found in sets}) == 1 else "no"
    if q.kind == "related":
        return "yes" if beside(s, relation, sets[1][0], sets[0]) else "no"
    target = sets[0] if relation is None else beside(s, relation, sets[1][0], sets[0])
    assert len(target) == 1, q.text
    return s.objects[target[0]].attributes[kind]


def test_whoever_reads_the_question_and_looks_comes_to_the_program_s_answer():
    for s, q in ASKED:
        assert read_answer(s, q) == q.answer == execute(q.program, s)[0], q.text


def test_a_phrase_with_the_names_one_object_and_phrases_are_linked_to_all_that_fit():
    for s, q in ASKED:
        words, rest = parts(q)
        assert rest.endswith("?") and q.text[0].isupper()
        for phrase, text in zip(q.phrases, words, strict=True):
            if text.lower().startswith("the ") and not (q.kind.startswith("query") and len(words) == 2):
                assert named(s, text) == phrase.objects and len(phrase.objects) == 1
            assert set(phrase.objects) <= set(named(s, text))


def test_the_objects_to_look_at_are_what_the_answer_is_seen_in():
    for s, q in ASKED:
        assert set(q.objects) <= {o.id for o in s.objects}
        if q.kind.startswith("query"):
            kind = q.kind.split()[1]
            assert q.answer in {s.objects[i].attributes[kind] for i in q.objects}
        if q.kind == "count":
            assert len(q.objects) == int(q.answer)
        if q.kind == "count same":
            assert len(q.objects) == int(q.answer) + 1


def test_an_attribute_that_is_asked_for_is_never_said():
    for _, q in ASKED:
        if q.kind.startswith("query") or q.kind == "compare":
            phrases, rest = parts(q)
            kind = KINDS[re.search(KIND, rest)[1]]
            told = phrases if q.kind == "compare" else phrases[:1]
            assert all(LEXICON[w][0] != kind for text in told for w in text.lower().split() if w in LEXICON), q.text


def test_yes_and_no_are_as_frequent_in_every_kind_and_other_answers_varied():
    answers = defaultdict(Counter)
    for _, q in ASKED:
        answers[q.kind][q.answer] += 1
    assert set(answers) == set(KINDS_OF_QUESTIONS)
    for kind, counts in answers.items():
        assert counts.total() > 0.8 * len(SCENES), kind
        assert set(counts) <= set(ANSWERS)
        if set(counts) == {"yes", "no"}:
            assert 0.4 < counts["yes"] / counts.total() < 0.6, kind
        else:
            assert max(counts.values()) < 0.45 * counts.total(), (kind, counts)


def test_the_smaller_set_has_ten_answers_and_enough_questions():
    ten = [q for _, q in ASKED if q.answer in TEN_ANSWERS]
    counts = Counter(q.answer for q in ten)
    assert set(counts) == set(TEN_ANSWERS) and len(TEN_ANSWERS) == 10
    assert len(ten) > 6 * len(SCENES)
    assert counts.most_common(1)[0][1] < 0.4 * len(ten)


def test_a_no_is_near_a_yes():
    near = []
    for s, q in ASKED:
        if q.kind == "exist" and q.answer == "no":
            words = [LEXICON[w] for w in parts(q)[0][0].lower().split() if w in LEXICON]
            near.append(any(sum(o.attributes[kind] == value for kind, value in words) == len(words) - 1
                            for o in s.objects))
    assert all(near) and len(near) > 80


def test_the_words_that_every_question_begins_with_do_not_tell_the_answer():
    by_words = defaultdict(Counter)
    for _, q in ASKED:
        by_words[tuple(q.text.split()[:4])][q.answer] += 1
    often = [counts for counts in by_words.values() if counts.total() >= 30]
    assert len(often) > 10
    assert all(max(counts.values()) < 0.7 * counts.total() for counts in often)


def test_questions_follow_from_the_scene_and_are_asked_of_small_scenes_too():
    assert questions(scene(21, 3)) == questions(SCENES[3])
    for index in range(60):
        of = few_scene(1, index)
        assert all(execute(q.program, of)[0] == q.answer for q in questions(of))
        assert len(questions(of)) >= 5


def test_programs_that_make_no_sense_raise():
    s = SCENES[0]
    with pytest.raises(ValueError, match="are not one"):
        execute((Step("scene"), Step("unique", (0,))), s)
    with pytest.raises(ValueError, match="no function"):
        execute((Step("dance"),), s)
    assert Step("filter_colour", (0,), "red").as_json() == {
        "function": "filter_colour", "inputs": [0], "value_inputs": ["red"]}
