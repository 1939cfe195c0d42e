"""Signs: letters that can be told apart, boards that nothing covers, and questions that have to be read."""

import hashlib
import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from pipeline.scenes import render
from pipeline.scenes.draw import line_centres
from pipeline.scenes.flavours import FLAVOURS, few_scene
from pipeline.scenes.lettering import CHARACTERS, glyph, line_box, write_line
from pipeline.scenes.signs import WORDS, sign_scene
from pipeline.scenes.text_questions import KINDS_OF_TEXT_QUESTIONS, said, text_questions
from tests.pipeline.scene_words import LEXICON, RELATIONS, centre, fitting

SCENES = [sign_scene(5, index) for index in range(200)]
ASKED = [(s, q) for s in SCENES for q in text_questions(s)]


@pytest.mark.parametrize("height", [8, 10, 16])
def test_every_two_letters_differ_clearly(height):
    glyphs = np.stack([glyph(character, height) for character in CHARACTERS])
    ink = glyphs.sum((1, 2))
    assert ink.min() > 1.2 * height
    for i, one in enumerate(glyphs):
        apart = np.abs(glyphs - one).sum((1, 2))
        apart[i] = np.inf
        assert apart.min() > 0.1 * ink[i], (CHARACTERS[i], CHARACTERS[apart.argmin()])


def test_a_line_fills_its_box_and_nothing_else():
    for text in ("HOTEL", "WINE", "I", "Q8"):
        canvas = np.ones((3, 128, 128), np.float32)
        write_line(canvas, text, 0.5, 0.5, 0.1, np.zeros((3, 1, 1), np.float32))
        rows, columns = np.nonzero(canvas[0] < 0.5)
        x1, y1, x2, y2 = (edge * 128 for edge in line_box(text, 0.5, 0.5, 0.1, 128))
        narrow = 5 if text == "I" else 2  # an I is not as wide as its place, and letters stand on whole pixels
        assert abs(rows.min() - y1) <= 1 and abs(rows.max() + 1 - y2) <= 1
        assert abs(columns.min() - x1) <= narrow and abs(columns.max() + 1 - x2) <= narrow


def test_nothing_covers_a_sign():
    for s in SCENES:
        boxes = [o.box for o in s.objects] + [sign.box for sign in s.signs]
        for i, a in enumerate(boxes):
            assert min(a[:2]) >= 0 and max(a[2:]) <= 1
            for b in boxes[max(i + 1, len(s.objects)):]:
                assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_letters_stand_on_their_board_in_a_contrasting_ink():
    for s in SCENES[:20]:
        pixels = render(s, 160).astype(int).sum(-1)
        for sign in s.signs:
            x1, y1, x2, y2 = (round(edge * 160) for edge in sign.box)
            for line, (x, y) in zip(sign.lines, line_centres(sign), strict=True):
                left, top, right, bottom = (round(edge * 160) for edge in line_box(line, x, y, sign.letters, 160))
                assert x1 < left and right < x2 and y1 < top and bottom < y2
                patch = pixels[top:bottom, left:right]
                assert np.percentile(patch, 95) - np.percentile(patch, 5) > 230, (sign.colour, line)


def test_scenes_hold_two_to_four_signs_with_lines_of_their_own():
    assert {len(s.signs) for s in SCENES} == {2, 3, 4} and {len(s.objects) for s in SCENES} == {2, 3, 4}
    for s in SCENES:
        lines = [line for sign in s.signs for line in sign.lines]
        assert len(set(lines)) == len(lines)
        assert all(re.fullmatch(r"[A-Z]{2,8}|\d{1,3}", line) for line in lines)


def test_most_of_what_is_written_has_never_been_seen_before():
    words = {split: [line for i in range(200) for sign in sign_scene(seed, i).signs for line in sign.lines]
             for split, seed in (("train", 5), ("test", 6))}
    new = [word for word in words["test"] if word not in set(words["train"])]
    assert len(new) / len(words["test"]) > 0.4
    assert 0.3 < sum(word in WORDS for word in words["test"]) / len(words["test"]) < 0.5


def read_answer(s, q):
    """The answer by reading the question and looking at the signs."""
    text = q.text.lower()
    if q.kind == "sign of colour":
        sign, = [sign for sign in s.signs if sign.colour == re.search(r"the (\w+) sign\b", text)[1]]
    elif q.kind == "largest sign":
        sign = max(s.signs, key=lambda sign: sign.width * sign.height)
    elif q.kind == "sign at edge":
        axis = 1 if re.search("top|bottom|highest|lowest", text) else 0
        order = sorted(s.signs, key=lambda sign: centre(sign, axis))
        sign = order[0] if re.search("left|top|highest", text) else order[-1]
    elif q.kind == "sign beside":
        phrase, = q.phrases
        words = q.text[phrase.start:phrase.end].lower().split()
        anchor, = fitting(s, dict(LEXICON[w] for w in words if w in LEXICON))
        assert phrase.objects == q.objects == (anchor,)
        axis, way = RELATIONS[next(r for r in RELATIONS if re.search(rf"\b{r}\b", text))]
        sign, = [i for i in s.signs if way * (centre(i, axis) - centre(s.objects[anchor], axis)) > 0]
    elif q.kind == "number":
        return next(line for sign in s.signs for line in sign.lines if line.isdigit())
    elif q.kind == "colour of sign":
        sign, = [sign for sign in s.signs if said(sign) in text]
        return sign.colour
    elif q.kind == "count signs":
        return str(len(s.signs))
    else:
        words = set(text.strip("?").split())
        return "yes" if any(line.lower() in words for sign in s.signs for line in sign.lines) else "no"
    return " ".join(sign.lines).lower()


def test_whoever_reads_the_question_and_the_signs_comes_to_the_answer():
    for s, q in ASKED:
        assert read_answer(s, q) == q.answer, q.text
        assert set(q.signs) <= {sign.id for sign in s.signs}
        if q.copied:
            assert q.answer in {text for i in q.signs for text in (said(s.signs[i]), *said(s.signs[i]).split())}


def test_at_least_half_of_the_answers_are_copied_and_the_others_balanced():
    assert 0.55 < sum(q.copied for _, q in ASKED) / len(ASKED) < 0.65
    assert len(ASKED) > 4.8 * len(SCENES)
    answers = defaultdict(Counter)
    for _, q in ASKED:
        answers[q.kind][q.answer] += 1
    assert set(answers) == set(KINDS_OF_TEXT_QUESTIONS)
    assert 0.4 < answers["word exists"]["yes"] / answers["word exists"].total() < 0.6
    assert max(answers["colour of sign"].values()) < 0.25 * answers["colour of sign"].total()
    assert all(counts.total() > 20 for counts in answers.values())


def test_few_objects_are_large_apart_and_told_apart_by_shape_and_colour():
    scenes = [few_scene(3, index) for index in range(150)]
    assert Counter(len(s.objects) for s in scenes).keys() == {1, 2}
    for s in scenes:
        assert len({o.shape for o in s.objects}) == len({o.colour for o in s.objects}) == len(s.objects)
        assert all(min(o.box[:2]) >= 0 and max(o.box[2:]) <= 1 and o.radius > 0.11 for o in s.objects)
        if len(s.objects) == 2:
            a, b = s.objects
            assert np.hypot(a.x - b.x, a.y - b.y) >= a.radius + b.radius


def test_pixels_of_the_flavours_are_those_of_every_other_machine():
    digests = {name: hashlib.sha256(b"".join(render(make(0, i), 96).tobytes() for i in range(4))).hexdigest()[:16]
               for name, make in FLAVOURS.items() if name != "objects"}
    # Change only together with pipeline.scenes.dataset.VERSION.
    assert digests == {"signs": "9b2a3d18ce7551ea", "few": "ec5bc40411032481"}
