import csv
import json
import os
from pathlib import Path

import pytest
import torch

from evaluation.comparison import flat_figures
from heed import main
from tests.training.truth_store import truth_store
from training.sweep.progress import SweepProgress
from training.sweep.schedule import _drive
from training.sweep.trial import Outcome, TrialOrder

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    torch.set_num_threads(1)
    store, scenes = truth_store(tmp_path_factory.mktemp("data"), 40)
    return ["sweep", "matching", "--store", str(store), "--captions", str(scenes), "--epochs", "2", "--lr", "2e-2",
            "--batch-size", "32", "--model.embed-dim", "8", "--model.word-dim", "8", "--min-count", "1", "--device",
            "cpu"]


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    assert main([*words, "--out", str(out), "--attention", "dot", "cosine", "--seeds", "2", "--inline"]) == 0
    return out


def table(out):
    return {(row["figure"], row["variant"]): row for row in csv.DictReader((out / "table.csv").open())}


def test_the_table_holds_the_mean_of_the_runs_figures(whole):
    runs = [json.loads((whole / "dot" / f"seed-{seed}" / "evaluation" / "test.json").read_text()) for seed in (0, 1)]
    figures = [dict(flat_figures(run)) for run in runs]
    found = table(whole)
    for name in figures[0]:
        row = found[name, "dot"]
        assert float(row["mean"]) == pytest.approx((figures[0][name] + figures[1][name]) / 2, rel=1e-5)
    assert found["retrieval.rsum", "cosine"]["equal_group"] == "1"
    assert "(a) dot, cosine: embeddings have unit length" in (whole / "table.md").read_text()
    assert (whole / "table.tex").read_text().count(r"\\") == 4


def test_seeds_agreement_relation_and_plot_stand_beside_the_table(whole):
    rows = {(row["variant"], row["figure"]): row for row in csv.DictReader((whole / "agreement.csv").open())}
    assert 0 < float(rows["dot", "js"]["mean"]) <= 1 and rows["dot", "js"]["pairs"] == "1"
    assert float(rows["dot", "top"]["mean"]) > float(rows["dot", "chance"]["mean"])
    assert "| Pointing accuracy (%) |" in (whole / "relation.md").read_text()
    assert (whole / "relation.png").read_bytes()[:4] == b"\x89PNG"
    found = table(whole)
    assert 0 < float(found["concentration.words.entropy", "dot"]["mean"]) < 1
    assert ("faithfulness.deletion", "dot") not in found  # not asked for


def test_a_finished_sweep_does_nothing_again(words, whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.glob("*/*/**/*.pt")}
    assert before
    assert main([*words, "--out", str(whole), "--attention", "dot", "cosine", "--seeds", "2", "--inline"]) == 0
    assert "0 trials to do" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in whole.glob("*/*/**/*.pt")}


def test_stopped_in_the_middle_of_a_trial_it_goes_on_to_the_same_table(words, whole, tmp_path, monkeypatch):
    from training.tasks.matching import Matching

    step, left = Matching.step, [15]

    def stopping(self, batch):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return step(self, batch)

    arguments = [*words, "--out", str(tmp_path), "--attention", "dot", "cosine", "--seeds", "2", "--inline",
                 "--checkpoint-every", "1"]
    monkeypatch.setattr(Matching, "step", stopping)
    assert main(arguments) == 130
    left[0] = -1  # never again
    assert 0 < len(list(tmp_path.glob("*/*/evaluation/test.json"))) < 4
    assert len(list(tmp_path.glob("*/*/checkpoints/last.pt"))) > len(list(tmp_path.glob("*/*/evaluation/test.json")))
    assert main(arguments) == 0
    assert (tmp_path / "table.csv").read_bytes() == (whole / "table.csv").read_bytes()


def test_a_failed_trial_is_listed_with_its_reason_and_the_others_go_on(words, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path), "--vary", "lr=2e-2,inf", "--seeds", "1", "--inline"]) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 trials are done" in printed
    assert "Failed: loop.lr=inf/seed-0: The loss is nan: training has diverged" in printed
    assert json.loads((tmp_path / "failed.json").read_text()).keys() == {"loop.lr=inf/seed-0"}
    assert {row["variant"] for row in csv.DictReader((tmp_path / "table.csv").open())} == {"loop.lr=2e-2"}


def test_a_folder_of_another_sweep_is_refused(words, whole, capsys):
    assert main([*words, "--out", str(whole), "--attention", "dot", "--seeds", "1", "--inline", "--clip", "1"]) == 2
    assert "holds a trial of another sweep (loop.clip: 2.0 then, 1.0 now)" in capsys.readouterr().err


def test_more_seeds_and_variants_can_be_added(words, whole, tmp_path, capsys):
    arguments = [*words, "--out", str(whole), "--attention", "dot", "cosine", "--seeds", "3", "--inline",
                 "--figures", "retrieval.t2i_r1"]
    assert main(arguments) == 0
    assert "2 trials to do" in capsys.readouterr().out
    assert table(whole)["retrieval.rsum", "dot"]["seeds"] == "3"
    assert "| variant | seeds | retrieval.t2i_r1 |" in (whole / "table.md").read_text()


def test_faithfulness_can_be_added_to_a_finished_sweep(words, whole, capsys):
    arguments = [*words, "--out", str(whole), "--attention", "dot", "--seeds", "1", "--inline", "--faithfulness"]
    before = (whole / "dot" / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns
    assert main(arguments) == 0
    assert "1 trials to do" in capsys.readouterr().out
    assert -1 < float(table(whole)["faithfulness.deletion_gain", "dot"]["mean"]) < 1
    assert (whole / "dot" / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns == before


def test_a_figure_no_run_has_is_told(words, whole, capsys):
    assert main([*words, "--out", str(whole), "--attention", "dot", "--seeds", "1", "--inline", "--figures",
                 "retrieval.rsun"]) == 2
    assert "did you mean retrieval.rsum?" in capsys.readouterr().err


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_on_ray_the_same_runs_are_made(words, whole, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    assert main([*words, "--out", str(tmp_path), "--attention", "dot", "cosine", "--seeds", "1"]) == 0
    for variant in ("dot", "cosine"):
        one, other = (torch.load(out / variant / "seed-0" / "checkpoints" / "last.pt", weights_only=True)["model"]
                      for out in (tmp_path, whole))
        assert all(torch.equal(one[name], other[name]) for name in one)


def fragile(order):
    """A trial whose process dies, always or the first time."""
    if order.name == "dies":
        os._exit(9)
    marker = Path(order.config["out"]) / "tried"
    if order.name == "once" and not marker.exists():
        marker.touch()
        os._exit(9)
    return Outcome(order.name, 1.0)


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_a_process_that_dies_is_tried_again_and_then_given_up(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    from pipeline.ray_job import start_ray

    orders = [TrialOrder(name, "matching", {"out": str(tmp_path)}, 1, False) for name in ("well", "once", "dies")]
    ray = start_ray("")
    try:
        remote = ray.remote(num_cpus=1, max_retries=0)(fragile)
        found = {one.name: one.reason for one in _drive(ray, remote, orders, SweepProgress(3, 0, 2))}
    finally:
        ray.shutdown()
    assert found["well"] == found["once"] == "" and found["dies"].startswith("its process died 2 times")
