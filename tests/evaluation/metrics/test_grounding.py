import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.grounding import grounding, linked_phrases, phrase_attention, span_attention
from evaluation.predictions import CaptionAttention
from pipeline.annotations import Caption, Phrase

# Four regions side by side; the first two tokens are "a" and "red", then "cup"; the last is a special one.
BOXES = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [12, 0, 20, 10]], np.float32)
SPANS = np.array([[0, 1], [2, 5], [6, 9], [-1, -1]], np.int32)


def seen(weights, boxes=BOXES):
    return CaptionAttention(("a", "red", "cup", "<end>"), SPANS, boxes, np.asarray(weights, np.float32), 30, 10)


WEIGHTS = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0.2, 0.3, 0.1, 0.4], [0.0, 0.0, 1.0, 0.0]]
RED_CUP = Phrase(2, 9, np.array([[10, 0, 20, 10]], np.float32))


def test_a_phrase_by_hand():
    found = phrase_attention(seen(WEIGHTS), RED_CUP, "i")
    attention = [0.15, 0.45, 0.15, 0.25]  # mean of "red" and "cup"; regions 1 and 3 (IoU 0.8) are right
    assert (found.pointing, found.uniform, found.ceiling) == (1, 0.5, 1)
    assert found.mass == pytest.approx(0.7)
    assert found.entropy == pytest.approx(-sum(w * math.log(w) for w in attention) / math.log(4))


def test_a_box_of_iou_below_half_is_not_right():
    shifted = Phrase(2, 9, np.array([[6, 0, 16, 10]], np.float32))  # IoU with region 1: 6/14, with region 3: 4/14
    found = phrase_attention(seen(WEIGHTS), shifted, "i")
    assert (found.pointing, found.mass, found.uniform, found.ceiling) == (0, 0, 0, 0)


def test_any_of_a_phrases_boxes_counts():
    both = Phrase(0, 1, np.array([[20, 0, 30, 10], [0, 0, 10, 10]], np.float32))
    found = phrase_attention(seen(WEIGHTS), both, "i")
    assert found.pointing == 1 and found.mass == pytest.approx(0.8) and found.uniform == 0.5


def test_weights_over_tokens_are_renormalised_over_regions():
    columns = np.array([[0.5, 0.1, 0.1, 0.1], [0.1, 0.5, 0.3, 0.2], [0.2, 0.3, 0.2, 0.3], [0.2, 0.1, 0.4, 0.4]])
    got = span_attention(seen(columns), 2, 9)
    expected = (columns[1] + columns[2]) / (columns[1] + columns[2]).sum()
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_part_of_a_token_is_the_token_and_special_tokens_are_nobodys():
    np.testing.assert_array_equal(span_attention(seen(WEIGHTS), 4, 5), span_attention(seen(WEIGHTS), 2, 5))
    assert span_attention(seen(WEIGHTS), 9, 12) is None
    assert span_attention(seen(WEIGHTS), 5, 6) is None  # the space between


def test_uniform_attention_gets_exactly_the_uniform_figures():
    rng = np.random.default_rng(0)
    pairs = []
    for image in range(30):
        regions = rng.integers(1, 9)
        corner = rng.random((regions, 2)) * 20
        boxes = np.concatenate([corner, corner + 5 + rng.random((regions, 2)) * 5], axis=1).astype(np.float32)
        phrase = Phrase(2, 9, boxes[rng.integers(0, regions, 1)] + rng.normal(size=4).astype(np.float32))
        uniform = seen(np.full((4, regions), 1 / regions), boxes)
        pairs.append((Caption("c", f"{image}", "a red cup", (phrase,)), uniform))
    found = grounding(linked_phrases(pairs)[0])
    assert found["pointing"].value == pytest.approx(found["uniform"].value)
    assert found["mass"].value == pytest.approx(found["uniform"].value)
    assert found["entropy"].value == pytest.approx(1)
    assert found["pointing_ratio"].value == found["mass_ratio"].value == pytest.approx(1)
    assert found["uniform"].low < found["uniform"].value < found["uniform"].high


def test_perfect_attention_reaches_the_ceiling():
    weights = np.zeros((4, 4))
    weights[:, 1] = 1
    away = Phrase(2, 9, np.array([[0, 50, 9, 60]], np.float32))
    pairs = [(Caption(str(i), f"{i}", "a red cup", (RED_CUP if i % 4 else away,)), seen(weights)) for i in range(40)]
    found = grounding(linked_phrases(pairs)[0])
    assert found["pointing"].value == found["ceiling"].value == 75
    assert found["entropy"].value == 0
    assert found["pointing_ratio"].value == pytest.approx(2)  # half of the regions are right where any is
    assert found["pointing"].n == 40


def test_captions_cut_short_and_images_without_regions_are_counted():
    beyond, nowhere = Phrase(20, 25, RED_CUP.boxes), Phrase(2, 9, np.zeros((0, 4), np.float32))
    nothing = seen(np.zeros((4, 0)), np.zeros((0, 4), np.float32))
    pairs = [
        (Caption("1", "i", "", (RED_CUP, beyond, nowhere)), seen(WEIGHTS)),
        (Caption("2", "j", "", (RED_CUP,)), nothing),
    ]
    phrases, unreached = linked_phrases(pairs)
    assert (len(phrases), unreached) == (2, 1)
    found = grounding(phrases)
    assert found["pointing"].value == 50 and found["entropy"].n == 1
    assert grounding([]) == {}


@given(st.integers(0, 1000))
def test_laws(seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(4) * 0.3, size=4)
    found = phrase_attention(seen(weights), RED_CUP, "i")
    order = rng.permutation(4)
    moved = phrase_attention(seen(weights[:, order], BOXES[order]), RED_CUP, "i")
    for name in ("pointing", "mass", "entropy", "uniform", "ceiling"):
        assert getattr(found, name) == pytest.approx(getattr(moved, name), abs=1e-6)
        assert -1e-9 <= getattr(found, name) <= 1 + 1e-6
    assert found.pointing <= found.ceiling and found.uniform <= found.ceiling
