"""Answers: the official VQA and TextVQA codes' own forms and figures, and cases by hand."""

import gzip
import json
from pathlib import Path

import pytest

from evaluation.answers import evaluate_answers
from evaluation.metrics.answers import anls, edit_distance, normalised, soft_accuracy, text_normalised, vqa_accuracy
from features.errors import HeedError
from tests.shared import SHARED, needs_shared

GOLDEN = json.loads(Path(__file__).with_name("answers.json").read_text())


@pytest.mark.parametrize(("answer", "vqa", "text_vqa"), GOLDEN["answers"])
def test_answers_take_the_form_of_the_official_codes(answer, vqa, text_vqa):
    assert normalised(answer) == vqa and text_normalised(answer) == text_vqa


@needs_shared
def test_real_answers_get_the_official_accuracy_to_the_last_digit():
    with gzip.open(SHARED / "data/vqa/vqa_v2_60k_annotations_valid.json.gz") as file:
        truth = json.load(file)["annotations"]
    said = [{"question_id": row["question_id"], "answer": row["answers"][i % 10]["answer"]}
            for i, row in enumerate(truth)]
    found = evaluate_answers(said, truth, resamples=5)["figures"]
    assert found["accuracy"]["value"] == pytest.approx(GOLDEN["overall"], abs=1e-8)
    assert {kind: found[f"accuracy/answer_type/{kind}"]["value"] for kind in GOLDEN["by_answer_type"]} == pytest.approx(
        GOLDEN["by_answer_type"], abs=1e-8)
    text = evaluate_answers(said, truth, "text-vqa", resamples=5)["figures"]
    assert text["accuracy"]["value"] == pytest.approx(GOLDEN["text_vqa"], abs=1e-9)


@pytest.mark.parametrize(("said", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_an_answer_counts_a_third_for_each_other_person_who_gave_it(said, accuracy):
    assert soft_accuracy("a", ["a"] * said + ["b"] * (10 - said)) == pytest.approx(accuracy)


def test_nothing_is_normalised_where_all_people_agree():
    assert vqa_accuracy("the dog", ["dog"] * 10) == 0 and vqa_accuracy("the dog", ["dog"] * 9 + ["cat"]) == 1


def test_anls_is_the_nearest_answers_similarity_and_zero_below_one_half():
    assert anls("Hello", ["help", "world"]) == pytest.approx(1 - 2 / 5)
    assert anls("abcd", ["abxy"]) == 0.5 and anls("abcd", ["axyz"]) == 0
    assert edit_distance("kitten", "sitting") == 3 and edit_distance("", "abc") == 3


def test_questions_that_do_not_match_are_told():
    truth = [{"question_id": 1, "answers": ["a"] * 10}, {"question_id": 2, "answers": ["b"] * 10}]
    with pytest.raises(HeedError, match="lack questions"):
        evaluate_answers([{"question_id": 1, "answer": "a"}], truth)
    found = evaluate_answers([{"question_id": 1, "answer": "a"}], truth, subset=True)
    assert found["figures"]["accuracy"]["value"] == 100 and "left out: 1" in found["notes"][0]
    with pytest.raises(HeedError, match="not in the truth"):
        evaluate_answers([{"question_id": 3, "answer": "a"}], truth)
    with pytest.raises(HeedError, match="no answers by several people"):
        evaluate_answers([{"question_id": 1, "answer": "a"}], [{"question_id": 1}])
