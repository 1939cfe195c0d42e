import numpy as np
import pytest

from evaluation.matching import evaluate_matching
from evaluation.predictions import CaptionAttention, MatchingRow, write_matching
from evaluation.truth import read_truth, write_truth
from features.errors import HeedError
from pipeline.annotations import Caption, Phrase

BOX = np.array([[0, 0, 10, 10]], np.float32)
REGIONS = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
SEEN = CaptionAttention(("red", "cup"), np.array([[0, 3], [4, 7]]), REGIONS, np.array([[0.9, 0.1], [0.6, 0.4]]), 32, 32)


def truth(images=4, each=2):
    phrases = (Phrase(0, 7, BOX),)
    return [Caption(f"{i}.{j}", f"{i}.png", "red cup", phrases) for i in range(images) for j in range(each)]


def write(path, captions, images=4, attention=SEEN):
    keys = [f"{i}.png" for i in range(images)]
    write_matching(path, keys, "t2i", (
        MatchingRow(c.id, c.key, np.array([float(key == c.key) for key in keys]), attention) for c in captions))
    return path


def test_perfect_scores(tmp_path):
    found = evaluate_matching(write(tmp_path / "p.arrow", truth()), truth())
    assert found["retrieval"]["rsum"] == {"value": 600, "low": 600, "high": 600, "n": 8}
    assert found["attention"]["pointing"]["value"] == 100
    assert found["attention"]["mass"]["value"] == pytest.approx(75)
    assert found["attention"]["uniform"]["value"] == 50
    assert (found["images"], found["captions"], found["notes"], found["direction"]) == (4, 8, [], "t2i")
    assert found["chance"]["t2i_r1"] == 25


def test_everything_left_out_is_said_with_its_count(tmp_path):
    predicted = [*truth(), Caption("x.0", "0.png", ""), Caption("lost.0", "lost.png", "")]
    path = write(tmp_path / "p.arrow", predicted[1:], images=5)
    found = evaluate_matching(path, [*truth(), Caption("lost.0", "lost.png", ""), Caption("z", "other.png", "")])
    assert found["notes"] == [
        "captions of the truth without a prediction, not evaluated: 2 (for example '0.0')",
        "predicted captions that are not in the truth, left out: 1 (for example 'x.0')",
        "images of the truth that were not scored, so that no caption can find them: 2 (for example 'lost.png')",
        "scored images without a caption in the truth, which only stand as wrong answers: 1 (for example '4.png')",
        "predicted captions whose own image was not scored, not ranked: 1 (for example 'lost.0')",
    ]
    assert found["captions"] == 7 and found["retrieval"]["t2i_r1"] == {"value": 100, "low": 100, "high": 100, "n": 7}


def test_without_attention_or_phrases_there_are_no_figures_on_attention(tmp_path):
    path = write(tmp_path / "p.arrow", truth(), attention=None)
    assert evaluate_matching(path, truth())["attention"] == {}
    plain = [Caption(c.id, c.key, c.text) for c in truth()]
    assert evaluate_matching(write(path, truth()), plain)["attention"] == {}


def test_the_wrong_truth_is_refused(tmp_path):
    path = write(tmp_path / "p.arrow", truth())
    with pytest.raises(HeedError, match="none of the 8 captions"):
        evaluate_matching(path, [Caption("other", "0.png", "")])
    with pytest.raises(HeedError, match=r"'0\.0' belongs to image '3\.png' by the truth and to '0\.png'"):
        evaluate_matching(path, [Caption("0.0", "3.png", "")])


def test_truth_survives_its_file(tmp_path):
    text = "line\u2028and \"quote\"\n"
    captions = [Caption("1", "a/ü.png", text, (Phrase(0, 4, BOX, "cup"),)), Caption("2", "b", "")]
    write_truth(tmp_path / "t.jsonl", captions)
    read = read_truth(tmp_path / "t.jsonl")
    assert [(c.id, c.key, c.text) for c in read] == [(c.id, c.key, c.text) for c in captions]
    assert read[0].phrases[0].kind == "cup" and read[1].phrases == ()
    np.testing.assert_array_equal(read[0].phrases[0].boxes, BOX)
    (tmp_path / "t.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(HeedError, match="line 1"):
        read_truth(tmp_path / "t.jsonl")
    with pytest.raises(HeedError, match="no truth file"):
        read_truth(tmp_path / "none")
