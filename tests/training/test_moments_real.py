"""Real videos: from mp4 to an evaluated submission in three commands, as docs/moments.md has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heed import main
from pipeline.datasets import read_moments
from tests.shared import SHARED, needs_shared

NAMES = ("car-detection", "bottle-detection")


@needs_shared
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_three_commands_take_videos_to_an_evaluated_submission(tmp_path: Path, capsys) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    pytest.importorskip("timm", reason="timm is not installed")
    videos, annotations = SHARED / "data" / "videos", SHARED / "data" / "videos" / "moments.jsonl"
    (tmp_path / "list.jsonl").write_text("".join(
        json.dumps({"key": f"{name}.mp4", "path": str(videos / f"{name}.mp4")}) + "\n" for name in NAMES))
    lines = annotations.read_text().splitlines()
    for split, name in (("train", NAMES[0]), ("val", NAMES[1]), ("test", NAMES[1])):
        of_split = [line for line in lines if json.loads(line)["vid"] == name]
        (tmp_path / f"highlight_{split}_release.jsonl").write_text("\n".join(of_split))

    clips, run, out = tmp_path / "clips", tmp_path / "run", tmp_path / "found.jsonl"
    assert main(["extract", "clips", str(tmp_path / "list.jsonl"), str(clips), "--encoder", "timm:test_vit=random",
                 "--inline", "--device", "cpu"]) == 0
    assert main(["train", "moments", "--video", str(clips), "--moments", str(tmp_path), "--out", str(run), "--epochs",
                 "2", "--model.dim", "32", "--model.heads", "4", "--model.feedforward", "32", "--model.max-clips", "16",
                 "--device", "cpu"]) == 0
    assert main(["find", "moments", str(run), "--video", str(clips), "--moments", str(annotations), "--out",
                 str(out)]) == 0
    capsys.readouterr()
    assert main(["evaluate", "moments", "--predictions", str(out), "--truth", str(tmp_path / "found.truth.jsonl"),
                 "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = {moment.id: moment for moment in read_moments(annotations) if moment.key in NAMES}
    assert found["queries"] == len(expected) == 7
    assert 0 <= found["figures"]["MR-full-R1@0.5"]["value"] <= 100
    for row in map(json.loads, out.read_text().splitlines()):
        moment = expected[f"qid{row['qid']}"]
        clip_count = 15 if moment.key == NAMES[0] else 20  # the longer is read in pieces of 16
        assert row["query"] == moment.text and row["vid"] == moment.key
        assert len(row["pred_saliency_scores"]) == clip_count and 0 < len(row["pred_relevant_windows"]) <= 10
        edges = [edge for window in row["pred_relevant_windows"] for edge in window[:2]]
        assert min(edges) >= 0 and max(edges) <= moment.duration + 0.1
        # These annotations are no whole clips, so windows are not rounded to them.
        assert any(edge % 2 for edge in edges)
