"""The page on runs that describe films: figures, and what was said of stretches of films."""

from __future__ import annotations

import json

from evaluation.description import evaluate_descriptions, write_rows
from evaluation.report import description_samples
from evaluation.report.build import write_report
from evaluation.run_folder import read_run, truth_path
from tests.evaluation.report.test_page import Page
from tests.evaluation.test_description import films


def make_run(path, seed=0):
    """A run whose sentences are right more often than not; one is of another alphabet, one of markup."""
    for folder in ("predictions", "evaluation"):
        (path / folder).mkdir(parents=True)
    _, true = films()
    said, _ = films(0)
    said = [{**row, "sentence": "<b>nothing</b>" if i % 17 == seed else row["sentence"]} for i, row in enumerate(said)]
    predictions = path / "predictions" / "test.jsonl"
    write_rows(predictions, said)
    write_rows(truth_path(predictions), true)
    found = evaluate_descriptions(predictions, truth_path(predictions), 20, with_meteor=False)
    (path / "evaluation" / "test.json").write_text(json.dumps(found))
    (path / "config.json").write_text(json.dumps({"task": "description", "loop": {"seed": seed}}))
    (path / "metrics.jsonl").write_text(json.dumps({"step": 10, "epoch": 0, "split": "val", "CIDEr": 1.0}) + "\n")
    return path


def test_figures_and_stretches_of_films_are_on_the_page(tmp_path):
    runs = [make_run(tmp_path / "lam"), make_run(tmp_path / "none", 3)]
    text = write_report(runs, tmp_path / "page.html", count=54, figures=False).page.read_text(encoding="utf-8")
    page = Page(text)
    assert "R@5/16, recall within neighbours" in page.text and "What was said of the films" in page.text
    assert "<b>nothing" not in text  # it is escaped
    stretches = description_samples.chosen([read_run(run) for run in runs], "test", 54)
    assert sorted(one["video"] for one in stretches) == ["a", "b", "c"]
    for stretch in stretches:
        assert stretch["runs"] == [0, 1] and len(stretch["rows"]) == description_samples.STRETCH
        starts = [row["start"] for row in stretch["rows"]]
        assert starts == [starts[0] + 2 * i for i in range(len(starts))]  # one after the other
        for row in stretch["rows"]:
            assert row["true"] in page.text
            assert all((one["f1"] == 1) == (one["text"] == row["true"]) for one in row["said"])


def test_other_runs_and_runs_without_truth_show_none(tmp_path):
    run = make_run(tmp_path / "run")
    assert description_samples.chosen([read_run(run)], "val", 8) == []
    truth_path(run / "predictions" / "test.jsonl").unlink()
    assert description_samples.chosen([read_run(run)], "test", 8) == []
    (run / "config.json").write_text(json.dumps({"task": "moments"}))
    assert description_samples.chosen([read_run(run)], "test", 8) == []
