"""The page on runs of other tasks than matching: their figures, and where their answers look."""

import json

import numpy as np
import pytest

from evaluation.attention_file import Side, StepAttention, write_attention
from evaluation.question_truth import write_question_truth
from evaluation.report.build import gather, write_report
from evaluation.run_folder import attention_path, read_run, truth_path
from pipeline.annotations import Question
from tests.evaluation import fake_runs
from tests.evaluation.report.test_page import Page

QUESTIONS, STEPS = 6, 3


def make_run(path, name="vqa"):
    """A run of six answered questions, every second rightly, whose last step looks at the right region."""
    for folder in ("predictions", "evaluation"):
        (path / folder).mkdir(parents=True)
    predictions = path / "predictions" / "test.json"
    questions, rows, answers = [], [], []
    for i in range(QUESTIONS):
        boxes = fake_runs.boxes(i)
        text = f"What colour is <b>object {i}</b>?"
        questions.append(Question(f"q{i}", f"{i}.png", text, ("red",), "colour", boxes[:1]))
        answers.append({"question_id": f"q{i}", "answer": "blue" if i % 2 else "red"})
        for step in range(STEPS):
            said = np.full((1, 4), 0.1, np.float32)
            said[0, step] = 0.7
            words = Side.words(("what", "colour", "object", "?"), [(0, 4), (5, 11), (20, 26), (0, 1)])
            rows.append(StepAttention(f"q{i}", f"{i}.png", step, "control", Side.words(("",)), words, said, 120, 80))
            seen = np.full((1, fake_runs.REGIONS), 0.1, np.float32)
            seen[0, STEPS - 1 - step] = 0.5
            rows.append(StepAttention(f"q{i}", f"{i}.png", step, "read", Side.words(("",)), Side.regions(boxes), seen,
                                      fake_runs.WIDTH, fake_runs.HEIGHT))
    predictions.write_text(json.dumps(answers))
    write_question_truth(truth_path(predictions), questions)
    write_attention(attention_path(predictions), rows)
    figures = {"accuracy": {"value": 50.0, "low": 10.0, "high": 90.0, "n": QUESTIONS},
               "accuracy/colour": {"value": 50.0, "low": None, "high": None, "n": QUESTIONS}}
    (path / "evaluation" / "test.json").write_text(json.dumps({"task": name, "figures": figures, "notes": ["a note"]}))
    (path / "config.json").write_text(json.dumps({"task": name, "loop": {"seed": 0}}))
    lines = [{"step": s, "epoch": 0, "split": "val", "accuracy": s / 30} for s in (10, 20, 30)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_figures_curves_and_steps_of_answers_are_on_the_page(tmp_path):
    run = make_run(tmp_path / "mac")
    photos = fake_runs.make_photos(tmp_path / "images")
    written = write_report([run], tmp_path / "page.html", photos, count=4)
    text = written.page.read_text(encoding="utf-8")
    page = Page(text)
    assert "accuracy" in page.text and "50" in page.text and "accuracy: colour" in page.text and "a note" in page.text
    assert "Validation accuracy" in page.text
    assert "<b>object" not in text.replace("<b>What colour", "")  # the question is escaped
    samples = json.loads(page.embedded)["samples"]
    assert len(samples) == 4 and [sample["right"] for sample in samples].count(True) == 2
    for sample in samples:
        assert len(sample["words"]) == STEPS == len(sample["runs"][0]["weights"])
        judged = sample["runs"][0]["of_phrases"]
        assert [one["pointing"] for one in judged] == [0.0, 0.0, 1.0]
        overlapping = len(judged[2]["right"]) - 1  # regions on the same object, each with 0.1
        assert judged[2]["mass"] == pytest.approx(0.5 + 0.1 * overlapping, abs=1e-3)
        assert sample["text"].startswith("read 1: what") and "read 3: object" in sample["text"]


def test_runs_of_several_tasks_share_a_page(tmp_path):
    runs = [fake_runs.make_run(tmp_path / "dot", 0), make_run(tmp_path / "mac"), make_run(tmp_path / "other")]
    found = gather([read_run(run) for run in runs], None, "test", 4)
    assert [sample["run"] for sample in found.answers] == [1, 1, 2, 2] and len(found.samples) == 4
    page = Page(write_report(runs, tmp_path / "page.html", count=4, figures=False).page.read_text(encoding="utf-8"))
    assert "Sum of the six recalls" in page.text and "Where the answers look" in page.text


def test_a_run_that_was_not_evaluated_is_noted(tmp_path):
    run = make_run(tmp_path / "mac")
    (run / "evaluation" / "test.json").unlink()
    notes = write_report([run], tmp_path / "page.html", count=0, figures=False).notes
    assert notes[0].startswith("mac was not evaluated on the split test")
