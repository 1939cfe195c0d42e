"""Answers and the attention they came with, judged from files alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from evaluation.attention_file import Side, StepAttention, write_attention
from evaluation.metrics.steps import right_boxes, step_figures
from evaluation.question_truth import write_question_truth
from evaluation.report.steps import choose, write_step_figures
from evaluation.vqa import evaluate_vqa, read_results, write_results
from features.boxes import grid_of
from features.errors import HeedError
from heed import main
from pipeline.annotations import Question

REGIONS = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [12, 12, 20, 20]], np.float32)


def question(number, answer="yes", kind="exist", boxes=REGIONS[:1], image=None):
    answers = (answer,) if isinstance(answer, str) else tuple(answer)
    return Question(f"q{number}", image or f"{number // 2}.png", "Is it red?", answers, kind, boxes)


def look(sample, step, weights, name="read", keys=None, image="0.png"):
    weights = np.array([weights], np.float32)
    return StepAttention(sample, image, step, name, Side.words([f"step {step}"]), keys or Side.regions(REGIONS),
                         weights, 20, 20)


def test_accuracy_is_by_exact_match_with_intervals_by_image_and_by_kind(tmp_path):
    asked = [question(i, "yes" if i % 3 else "no", "exist" if i % 2 else "query") for i in range(12)]
    write_results(tmp_path / "p.json", [(one.id, "yes") for one in asked])
    found = evaluate_vqa(tmp_path / "p.json", asked)
    assert found["questions"] == 12 and found["images"] == 6 and found["notes"] == [] and found["attention"] == {}
    right = np.array([i % 3 != 0 for i in range(12)])
    figures = found["figures"]
    assert figures["accuracy"]["value"] == pytest.approx(100 * right.mean())
    assert figures["accuracy"]["low"] < figures["accuracy"]["value"] < figures["accuracy"]["high"]
    assert figures["accuracy/exist"]["value"] == pytest.approx(100 * right[1::2].mean())
    assert figures["accuracy/query"]["n"] == 6


def test_answers_of_several_people_are_judged_softly(tmp_path):
    asked = [question(0, ["cat"] * 2 + ["dog"] * 8), question(1, ["cat"])]
    write_results(tmp_path / "p.json", [("q0", "cat"), ("q1", "Cat")])
    found = evaluate_vqa(tmp_path / "p.json", asked)
    # Two of ten: eight of the leave-one-out sets hold both, two hold one; exact match with one person is exact.
    assert found["figures"]["accuracy"]["value"] == pytest.approx(100 * (8 * 2 / 3 + 2 * 1 / 3) / 10 / 2)


def test_whatever_is_not_judged_is_noted(tmp_path):
    asked = [question(0), question(1), question(2, answer=())]
    write_results(tmp_path / "p.json", [("q0", "yes"), ("q2", "no"), ("other", "no")])
    found = evaluate_vqa(tmp_path / "p.json", asked)
    assert found["questions"] == 1 and len(found["notes"]) == 3
    assert "without a prediction, not judged: 1 (for example 'q1')" in found["notes"][0]
    assert "not in the truth, left out: 1 (for example 'other')" in found["notes"][1]
    assert "kept back, not judged: 1" in found["notes"][2]
    write_results(tmp_path / "p.json", [("q2", "no")])
    assert evaluate_vqa(tmp_path / "p.json", asked)["figures"] == {}
    with pytest.raises(HeedError, match="none of the 1 questions"):
        evaluate_vqa(tmp_path / "p.json", asked[:2])


def test_results_have_the_challenges_format(tmp_path):
    write_results(tmp_path / "p.json", [("262148000", "yes"), ("007", "no"), ("000000-1", "red")])
    assert json.loads((tmp_path / "p.json").read_text()) == [
        {"question_id": 262148000, "answer": "yes"}, {"question_id": "007", "answer": "no"},
        {"question_id": "000000-1", "answer": "red"}]
    assert read_results(tmp_path / "p.json") == {"262148000": "yes", "007": "no", "000000-1": "red"}
    for damage, told in (("{}", "no list"), ("[{}]", "row 1"), ("[", "not JSON"),
                         ('[{"question_id": 1, "answer": "a"}, {"question_id": "1", "answer": "b"}]', "twice")):
        (tmp_path / "d.json").write_text(damage)
        with pytest.raises(HeedError, match=told):
            read_results(tmp_path / "d.json")
    with pytest.raises(HeedError, match="cannot be read"):
        read_results(tmp_path / "none.json")


def test_attention_is_measured_at_each_step_and_at_the_best():
    truth = {"q0": question(0), "q1": question(1, boxes=REGIONS[1:3])}
    rows = [look("q0", 0, [0.1, 0.2, 0.3, 0.4]), look("q1", 0, [0.4, 0.3, 0.2, 0.1]),
            look("q0", 1, [0.7, 0.1, 0.1, 0.1]), look("q1", 1, [0, 0.5, 0.5, 0]),
            look("nobody", 0, [1, 0, 0, 0])]
    figures, best = step_figures(rows, truth, 50)
    value = {name: figure.value for name, figure in figures.items()}
    assert best == {"read": 1}
    assert value["read/step 1/pointing"] == 0 and value["read/step 1/mass"] == pytest.approx(100 * (0.1 + 0.5) / 2)
    assert value["read/step 2/pointing"] == 100 and value["read/step 2/mass"] == pytest.approx(100 * (0.7 + 1) / 2)
    assert value["read/step 1/uniform"] == pytest.approx(100 * (0.25 + 0.5) / 2) and value["read/step 1/ceiling"] == 100
    entropy = -(0.1 * np.log(0.1) + 0.2 * np.log(0.2) + 0.3 * np.log(0.3) + 0.4 * np.log(0.4)) / np.log(4)
    assert value["read/step 1/entropy"] == pytest.approx(entropy, abs=1e-6)
    assert {name for name in value if name.startswith("read/best step/")} == {
        name.replace("step 2", "best step") for name in value if name.startswith("read/step 2/")}
    assert value["read/best step/mass"] == value["read/step 2/mass"] and figures["read/step 1/mass"].n == 2


def test_words_have_entropy_and_questions_without_boxes_are_left_out_of_pointing():
    words = Side.words(["is", "it", "red"], np.array([[0, 2], [3, 5], [6, 9]]))
    rows = [look("q0", 0, [1 / 3, 1 / 3, 1 / 3], "control", words), look("q1", 0, [1, 0, 0], "control", words),
            look("q1", 0, [1, 0, 0, 0])]
    figures, best = step_figures(rows, {"q0": question(0), "q1": question(1, boxes=REGIONS[:0])}, 20)
    assert set(figures) == {"control/step 1/entropy"} and best == {}
    assert figures["control/step 1/entropy"].value == pytest.approx(0.5)


def test_regions_of_mixed_keys_are_measured_among_themselves():
    keys = Side.words(["is"], np.array([[0, 2]])) + Side.regions(REGIONS[:2]) + Side.words(["<step 0>"])
    figures, _ = step_figures([look("q0", 0, [0.5, 0.1, 0.3, 0.1], "decoder step", keys)], {"q0": question(0)}, 10)
    assert figures["decoder step/step 1/mass"].value == pytest.approx(25)


def test_cells_of_a_grid_are_right_where_their_centre_is_in_a_box():
    row, column = np.divmod(np.arange(12), 4)
    cells = np.stack([column * 5, row * 4, column * 5 + 5, row * 4 + 4], 1).astype(np.float32)
    assert grid_of(cells) == (3, 4) and grid_of(REGIONS) is None and grid_of(cells[:1]) is None
    assert grid_of(cells[:11]) is None and grid_of(cells[::-1]) is None and grid_of(cells[:4]) == (1, 4)
    box = np.array([[6, 0, 14, 7]])
    assert np.flatnonzero(right_boxes(cells, box)).tolist() == [1, 2, 5, 6]
    assert right_boxes(REGIONS, np.array([[0, 0, 10, 12.0]])).tolist() == [True, False, False, False]


def files(folder, count=6):
    """A run's folder with predictions, truth, attention and photos."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "images").mkdir()
    (folder / "config.json").write_text(json.dumps({"task": "vqa", "questions": str(folder)}))
    asked = [question(i, "yes" if i % 2 else "no") for i in range(count)]
    rng = np.random.default_rng(0)
    words = Side.words(["is", "it", "red"], np.array([[0, 2], [3, 5], [6, 9]]))
    rows = []
    for one in asked:
        for step in range(2):
            rows.append(look(one.id, step, rng.dirichlet(np.ones(3)), "control", words, one.key))
            rows.append(look(one.id, step, rng.dirichlet(np.ones(4)), image=one.key))
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(folder / "images" / one.key)
    predictions = folder / "predictions" / "test.json"
    write_results(predictions, [(one.id, "yes") for one in asked])
    write_question_truth(folder / "predictions" / "test.truth.jsonl", asked)
    write_attention(folder / "predictions" / "test.attention.arrow", rows)
    return predictions, asked


def test_the_command_judges_and_draws(tmp_path, capsys):
    predictions, _ = files(tmp_path)
    truth = tmp_path / "predictions" / "test.truth.jsonl"
    words = ["evaluate", "vqa", "--predictions", str(predictions), "--truth", str(truth), "--resamples", "20"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["accuracy"]["value"] == 50 and found["best_step"]["read"] in (1, 2)
    assert main([*words, "--figures", str(tmp_path / "drawn"), "--count", "3"]) == 0
    assert "3 pictures" in (told := capsys.readouterr().out) and "accuracy/exist" in told and "pointing" in told
    drawn = sorted((tmp_path / "drawn").glob("*.png"))
    assert len(drawn) == 3
    with Image.open(drawn[0]) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] == 2 * 320 + 12
    orange = (pixels[..., 0] > 150) & (pixels[..., 0] - pixels[..., 2] > 80)
    assert orange[:, :320].any() and orange[:, 332:].any()


def test_pictures_are_chosen_by_a_rule_half_of_them_wrong(tmp_path):
    predictions, asked = files(tmp_path, 12)
    said = read_results(predictions)
    chosen = choose(asked, said, 4)
    assert [one.answers[0] for one in chosen] == ["yes", "no", "yes", "no"]
    assert len({one.key for one in chosen}) == 4 and chosen == choose(asked[::-1], said, 4)
    other = tmp_path / "words.arrow"
    write_attention(other, [look(asked[0].id, 0, [1.0], "control", Side.words(["is"], np.array([[0, 2]])))])
    with pytest.raises(HeedError, match="no attention over regions"):
        write_step_figures(predictions, asked, other, tmp_path / "none")


def test_judging_needs_no_torch():
    code = "import sys, evaluation.vqa, evaluation.report.steps; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
