import json
from pathlib import Path

import pytest

from evaluation.pretraining import PretrainingRow, evaluate_pretraining, read_pretraining, write_pretraining
from features.errors import HeedError
from heed import main

ROWS = [
    PretrainingRow("1", "a.png", "b.png", 2.0, -1.0, (("red", "red", "blue"), ("star", "moon", "star")),
                   (("star", "star", "moon"),)),
    PretrainingRow("2", "a.png", "b.png", -0.5, -1.0, (("red", "red", "red"),), ()),
    PretrainingRow("3", "b.png", "a.png", 1.0, 3.0, (("moon", "red", "red"),), (("moon", "star", "moon"),)),
]


def test_figures_are_those_counted_by_hand(tmp_path: Path) -> None:
    write_pretraining(tmp_path / "p.jsonl", ROWS)
    assert read_pretraining(tmp_path / "p.jsonl") == ROWS
    found = evaluate_pretraining(tmp_path / "p.jsonl")
    values = {name: (round(one["value"], 4), one["n"]) for name, one in found["figures"].items()}
    assert values == {
        "matching_accuracy": (66.6667, 6),  # right: 2.0, 1.0; -1.0, -1.0
        "matching_pairs": (66.6667, 3),
        "word_accuracy": (50.0, 4), "word_accuracy_other": (50.0, 4), "word_accuracy_commonest": (50.0, 4),
        "region_accuracy": (50.0, 2), "region_accuracy_other": (50.0, 2), "region_accuracy_commonest": (50.0, 2),
    }
    assert (found["captions"], found["images"]) == (3, 2)
    assert all(one["low"] <= one["value"] <= one["high"] for one in found["figures"].values())


def test_the_command_judges_the_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pretraining(tmp_path / "p.jsonl", ROWS)
    assert main(["evaluate", "pretraining", "--predictions", str(tmp_path / "p.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["matching_pairs"]["n"] == 3
    assert main(["evaluate", "pretraining", "--predictions", str(tmp_path / "p.jsonl")]) == 0
    assert "word_accuracy_other" in capsys.readouterr().out


@pytest.mark.parametrize("line, message", [
    ("{}", "no prediction of pre-training"),
    ("nonsense", "no prediction of pre-training"),
    ('{"caption": 1, "image": "a", "other": "b", "match": NaN, "match_other": 0, "words": [], "regions": []}',
     "not finite"),
])
def test_damaged_files_are_told_by_line(tmp_path: Path, line: str, message: str) -> None:
    write_pretraining(tmp_path / "p.jsonl", ROWS)
    with (tmp_path / "p.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(HeedError, match=f"Line 4 .*{message}"):
        read_pretraining(tmp_path / "p.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(HeedError, match="empty"):
        read_pretraining(tmp_path / "empty.jsonl")
