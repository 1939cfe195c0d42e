import json

import pytest

from evaluation.run_folder import read_run, settings
from features.errors import HeedError


def make(path, metrics="", config=None):
    for folder in ("predictions", "evaluation"):
        (path / folder).mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config or {"task": "matching", "loop": {"seed": 3}}))
    (path / "metrics.jsonl").write_text(metrics)
    return path


def test_everything_in_the_folder_is_found(tmp_path):
    run = make(tmp_path / "run", '{"step": 2, "split": "train", "loss": 1}\n')
    (run / "environment.json").write_text('{"versions": {"heed": "0.1.0"}}')
    (run / "evaluation" / "test.json").write_text('{"images": 3}')
    for name in ("test.arrow", "test.truth.jsonl", "val.arrow"):
        (run / "predictions" / name).touch()
    found = read_run(run)
    assert found.name == "run" and found.environment["versions"]["heed"] == "0.1.0"
    assert found.evaluations == {"test": {"images": 3}}
    assert found.predictions == {split: run / "predictions" / f"{split}.arrow" for split in ("test", "val")}
    assert found.truth == {"test": run / "predictions" / "test.truth.jsonl"}
    assert found.metrics == [{"step": 2, "split": "train", "loss": 1}]
    assert found.setting("seed") == 3 and found.setting("nothing") is None


def test_lines_of_a_resumed_run_count_once_and_half_a_last_line_not_at_all(tmp_path):
    lines = [{"step": s, "split": "train", "loss": loss} for s, loss in ((1, 9), (2, 8), (3, 7), (2, 6), (3, 5))]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "spl'
    assert [(e["step"], e["loss"]) for e in read_run(make(tmp_path / "r", text)).metrics] == [(1, 9), (2, 6), (3, 5)]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(HeedError, match="no run folder"):
        read_run(tmp_path / "nothing")
    with pytest.raises(HeedError, match=r"no config\.json"):
        read_run(tmp_path)
    run = make(tmp_path / "r", '{"step": 1}\n{"step": 2, "split": "val"}\n')
    with pytest.raises(HeedError, match="line 1 of"):
        read_run(run)
    (run / "config.json").write_text("[1]")
    with pytest.raises(HeedError, match="JSON object, not a list"):
        read_run(run)
    (run / "config.json").write_text("{")
    with pytest.raises(HeedError, match="is not JSON"):
        read_run(run)


def test_settings_are_leaves_with_their_paths_the_shallow_first():
    config = {"a": {"seed": 1, "deep": {"x": 2}}, "seed": 0, "list": [1, 2]}
    assert list(settings(config)) == [("seed", 0), ("list", [1, 2]), ("a.seed", 1), ("a.deep.x", 2)]
