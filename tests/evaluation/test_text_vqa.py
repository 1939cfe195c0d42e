"""Figures of a made-up run whose every number can be counted by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from evaluation.attention_file import Side, StepAttention, write_attention
from evaluation.text_vqa import evaluate_text_vqa, look
from evaluation.word_figure import THICKEST, Shown, panel, thickness
from features.errors import HeedError
from heed import main
from pipeline.annotations import Question

BOXES = np.array([[10, 10, 30, 20], [40, 10, 60, 20], [10, 60, 30, 70]], np.float32)
WORDS = ("stop", "lux", "stop")
OBJECT = np.array([[0, 0, 90, 90]], np.float32)
TRUE = np.array([[5, 55, 40, 75]], np.float32)
"""Around the third word."""


def step(number, weights, name="q1", image="a"):
    """Keys: [CLS], what, an object, three words, <s> and what was said; the last has what the given weights leave."""
    keys = (Side.words(("[CLS]", "what"), np.array([[-1, -1], [0, 4]])) + Side.regions(OBJECT)
            + Side.regions(BOXES, WORDS) + Side.words(["<s>", "stop"][: number + 1]))
    filled = np.zeros((1, len(keys)), np.float32)
    filled[0, : len(weights)] = weights
    filled[0, -1] += 1 - sum(weights)
    return StepAttention(name, image, number, "decoder step", Side.words([["stop", "</s>"][number]]), keys, filled,
                         100, 100)


def question(name="q1", answers=("stop",) * 10, boxes=TRUE, key="a"):
    return Question(name, key, "what", answers, "sign", boxes)


def test_a_step_is_judged_among_the_words_of_the_image():
    seen = look(step(0, [0.1, 0.2, 0.1, 0.1, 0.2, 0.3]), question())
    assert seen.pointing == 1 and seen.uniform == pytest.approx(1 / 3)
    assert seen.mass == pytest.approx(0.5) and seen.words == pytest.approx(0.6) and seen.question == pytest.approx(0.2)
    assert look(step(0, [0, 0, 0, 0.4, 0.2, 0.3]), question()).pointing == 0
    assert look(step(0, [0, 0, 0, 0.3, 0.2, 0.3]), question()).pointing == 0.5  # two share the top


def test_without_boxes_every_place_of_the_word_is_right():
    seen = look(step(0, [0, 0, 0, 0.4, 0.2, 0.3]), question(boxes=np.zeros((0, 4), np.float32)))
    assert seen.pointing == 1 and seen.uniform == pytest.approx(2 / 3)


def test_a_step_for_which_no_word_is_right_is_not_judged():
    assert look(step(0, [0, 0, 0, 0.4, 0.2, 0.3]), question(answers=("yes",) * 10)) is None
    assert look(step(1, [0, 0, 0, 0.4, 0.2, 0.3]), question()) is None  # behind the answer's end


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run" / "predictions"
    folder.mkdir(parents=True)
    answers = [{"question_id": "q1", "answer": "stop", "pred_source": ["OCR"]},
               {"question_id": "q2", "answer": "lux", "pred_source": ["OCR"]},
               {"question_id": "q3", "answer": "yes", "pred_source": ["VOCAB"]},
               {"question_id": "q4", "answer": "no", "pred_source": ["VOCAB"]}]
    (folder / "test.json").write_text(json.dumps(answers))
    write_attention(folder / "test.attention.arrow", [
        step(0, [0.1, 0.2, 0.1, 0.1, 0.2, 0.3]), step(1, [0.1] * 6), step(0, [0, 0, 0, 0.1, 0.6, 0.1], "q2", "b")])
    truth = [question(), question("q2", ("stop",) * 10, key="b"), question("q3", ("yes",) * 10, key="b"),
             question("q4", ("no",) * 2 + ("yes",) * 8, key="b")]
    return folder / "test.json", truth


def test_figures_are_those_counted_by_hand(run):
    found = evaluate_text_vqa(*run, resamples=20)["figures"]
    # q4: two of ten say no: in two of ten leavings-out 1 other, else 2: (2/3 * 8 + 1/3 * 2) / 10
    assert found["accuracy"]["value"] == pytest.approx(100 * (1 + 0 + 1 + 0.6) / 4)
    assert found["copied"]["value"] == 50 and found["accuracy/copied"]["value"] == 50
    assert found["accuracy/kind/sign"]["n"] == 4
    assert found["attention/pointing"] == {"value": 50.0, "low": 0.0, "high": 100.0, "n": 2}
    assert found["attention/uniform"]["value"] == pytest.approx(100 / 3)


def test_answers_alone_are_judged_with_a_note(run, tmp_path):
    rows = [{"question_id": 7, "answer": "stop"}]
    (tmp_path / "evalai.json").write_text(json.dumps(rows))
    found = evaluate_text_vqa(tmp_path / "evalai.json", [question("7")], resamples=10)
    assert found["figures"]["accuracy"]["value"] == 100 and "copied" not in found["figures"]
    assert "pred_source" in found["notes"][0]
    (tmp_path / "evalai.json").write_text("{}")
    with pytest.raises(HeedError, match="no list of answers"):
        evaluate_text_vqa(tmp_path / "evalai.json", [question("7")])


def test_the_most_attended_box_is_the_thickest_and_questions_words_are_marked(run, tmp_path):
    Image.new("RGB", (100, 100), "white").save(tmp_path / "a.png")
    shown = Shown(question(), "stop", [step(0, [0.1, 0.2, 0.1, 0.1, 0.2, 0.3])], tmp_path / "a.png")
    assert thickness(shown.weights[3:6]).tolist() == [4, 6, THICKEST]
    drawn = np.asarray(panel(shown)).astype(int)
    scale = 3.6
    for rank, place in enumerate((2, 1, 0)):  # a row of pixels through the left edge of each box
        x, y = (BOXES[place, 0] * scale).round(), ((BOXES[place, 1] + BOXES[place, 3]) / 2 * scale).round()
        across = drawn[int(y), int(x) - 12: int(x) + 3]
        colour = [(0xC2, 0x18, 0x5B), (0xE6, 0x51, 0x00), (0xF9, 0xA8, 0x25)][rank]
        wide = (across == colour).all(-1).sum()
        assert abs(wide - (9, 6, 4)[rank]) <= 1
    marked = (np.abs(drawn[365:390, :40] - (255, 214, 79)).sum(-1) < 5).sum()
    assert marked > 100  # "what" has the most attention of the question


def test_a_run_is_drawn_by_its_folder(run, tmp_path, capsys):
    from evaluation.question_truth import write_question_truth

    path, truth = run
    folder = path.parents[1]
    (folder / "config.json").write_text(json.dumps({"task": "text-vqa"}))
    write_question_truth(path.with_name("test.truth.jsonl"), truth)
    for key in ("a", "b"):
        Image.new("RGB", (100, 100), "white").save(tmp_path / f"{key}.png")
    assert main(["draw", "text-vqa", str(folder), str(tmp_path / "out.png"), "--photos", str(tmp_path)]) == 0
    assert Image.open(tmp_path / "out.png").width == 2 * 370 + 10
    assert main(["draw", "text-vqa", str(folder), str(tmp_path / "out.png"), "--ids", "q9"]) == 2
    assert "q9" in capsys.readouterr().err
