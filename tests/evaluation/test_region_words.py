import numpy as np
import pytest
from PIL import Image

from evaluation.predictions import CaptionAttention, MatchingPredictions, MatchingRow, write_matching
from evaluation.region_words import draw_region_words, most_attended, pieces, region_words
from features.errors import HeedError
from pipeline.annotations import Caption

TEXTS = ("a red cube left", "a small ball", "no such thing")


@pytest.fixture
def read(tmp_path):
    boxes = np.array([[0, 0, 5, 5], [5, 5, 9, 9]], np.float32)
    weights = ([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3], [0.1, 0.9]], [[0.5, 0.5], [0.3, 0.7], [0.95, 0.05]],
               [[0, 1], [0, 1], [0, 1]])
    spans = ([(-1, -1), (0, 1), (2, 5), (6, 10), (11, 15)], [(0, 1), (2, 7), (8, 12)], [(0, 2), (3, 7), (8, 13)])
    rows = []
    for number, (block, where) in enumerate(zip(weights, spans, strict=True)):
        tokens = tuple(TEXTS[number][a:b] if a >= 0 else "<start>" for a, b in where)
        seen = CaptionAttention(tokens, np.array(where, np.int32), boxes, np.array(block, np.float32), 10, 10)
        scores = np.array([(0.9, 0.1), (0.5, 0.2), (0.7, 0.8)][number], np.float32)
        rows.append(MatchingRow(str(number), ("a", "a", "b")[number], scores, seen))
    write_matching(tmp_path / "test.arrow", ["a", "b"], "t2i", rows)
    return MatchingPredictions.read(tmp_path / "test.arrow")


TRUTH = [Caption(str(number), ("a", "a", "b")[number], text, ()) for number, text in enumerate(TEXTS)]


def test_captions_come_in_the_order_of_their_scores_and_wrong_ones_are_told(read):
    found = region_words(read, TRUTH, "a", 0, words=2)
    assert [(one.text, one.right) for one in found.captions] == [
        ("a red cube left", True), ("no such thing", False), ("a small ball", True)]
    assert found.box.tolist() == [0, 0, 5, 5]


def test_the_words_that_attend_most_are_marked_and_special_tokens_never(read):
    found = region_words(read, TRUTH, "a", 0, words=2)
    marked = [[one.text[a:b] for a, b in one.spans] for one in found.captions]
    assert marked == [["cube"], [], ["ball"]]  # 0.95 and 0.7; <start> has 0.9
    assert [word for word, _ in found.words] == ["ball", "cube"]
    other = region_words(read, TRUTH, "a", 1, words=3)
    assert [word for word, _ in other.words] == ["left", "a", "small"]


def test_of_fewer_captions_only_their_words_are_marked(read):
    found = region_words(read, TRUTH, "a", 0, retrieved=1, words=2)
    assert [[one.text[a:b] for a, b in one.spans] for one in found.captions] == [["red", "cube"]]


def test_the_region_all_words_look_at_is_found(read):
    assert most_attended(read, "a") == 1  # 0.8 + 0.6 + 0.3 + 0.9 and 0.5 + 0.7 + 0.05 of 8 in all
    assert most_attended(read, "b") == 1


def test_pieces_give_the_text_back(read):
    caption = region_words(read, TRUTH, "a", 0, retrieved=1, words=2).captions[0]
    assert pieces(caption) == [("a", False), ("red", True), ("cube", True), ("left", False)]


def test_the_picture_is_drawn(read, tmp_path):
    Image.new("RGB", (10, 10), "white").save(tmp_path / "photo.png")
    draw_region_words(region_words(read, TRUTH, "a", 1), tmp_path / "photo.png", tmp_path / "out.png")
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).reshape(-1, 3).astype(int)
    assert (np.abs(pixels - (0xEE, 0x33, 0x33)).max(1) < 30).sum() > 100  # the box
    assert (pixels.sum(1) < 150).sum() > 300  # the words


@pytest.mark.parametrize(("image", "region", "answer"), [("z", 0, "scores no image 'z'"), ("a", 2, "has 2 regions")])
def test_what_is_not_there_is_said(read, image, region, answer):
    with pytest.raises(HeedError, match=answer):
        region_words(read, TRUTH, image, region)
