import json

import pytest
import tyro

from evaluation.commands.matching import EvaluateMatching
from evaluation.commands.report import Report
from features.errors import HeedError
from tests.evaluation import fake_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_runs.make_run(tmp_path_factory.mktemp("runs") / "dot", 1)


def parse(kind, *words):
    return tyro.cli(kind, args=[str(word) for word in words])


def test_evaluate_prints_the_figures_of_the_file(run, capsys):
    files = ("--predictions", run / "predictions" / "test.arrow", "--truth", run / "predictions" / "test.truth.jsonl")
    kept = json.loads((run / "evaluation" / "test.json").read_text())
    assert parse(EvaluateMatching, *files, "--json", "--resamples", 50).run() == 0
    assert json.loads(capsys.readouterr().out) == kept
    assert parse(EvaluateMatching, *files).run() == 0
    shown = capsys.readouterr().out
    assert "Text to image, R@1" in shown and f"{kept['retrieval']['t2i_r1']['value']:.1f} %" in shown
    assert "Pointing accuracy" in shown and "10 images, 20 captions" in shown


def test_the_1k_protocol_refuses_fewer_images(run):
    files = ("--predictions", run / "predictions" / "test.arrow", "--truth", run / "predictions" / "test.truth.jsonl")
    with pytest.raises(HeedError, match="multiple of 1,000"):
        parse(EvaluateMatching, *files, "--protocol", "1k").run()


def test_report_takes_its_runs_by_position(run, tmp_path, capsys):
    command = parse(Report, run, run, "--out", tmp_path / "page.html", "--samples", 2, "--no-figures")
    assert command.runs == (run, run)
    assert command.run() == 0
    said = capsys.readouterr().out
    assert "The report on 2 runs is" in said and "photos were not found" in said
    assert (tmp_path / "page.html").exists() and not (tmp_path / "page").exists()
