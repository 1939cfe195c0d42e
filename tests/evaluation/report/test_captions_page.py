"""The page on runs that caption videos: pictures of the videos, what the runs say, what people said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.report.build import write_report
from evaluation.report.caption_samples import FRAMES
from evaluation.run_folder import truth_path
from features.errors import HeedError
from pipeline.scenes.video import write_videos
from tests.evaluation.report.test_page import Page

VIDEOS = 6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    write_videos(root, VIDEOS, seconds=10, size=48, fps=4)
    return root


def make_run(path: Path, captions: Path, keys: list[str], says: str) -> Path:
    for folder in ("predictions", "evaluation"):
        (path / folder).mkdir(parents=True)
    predictions = path / "predictions" / "test.json"
    predictions.write_text(json.dumps([{"image_id": key, "caption": f"{says} <{key}>"} for key in keys]))
    truth_path(predictions).write_text(json.dumps({"annotations": [
        {"image_id": key, "caption": f"people say {n} of {key}"} for key in keys for n in (1, 2, 2)]}))
    figures = {"CIDEr": {"value": 1.25, "low": 1.0, "high": 1.5, "n": len(keys)}}
    (path / "evaluation" / "test.json").write_text(json.dumps({"task": "captioning", "figures": figures, "notes": []}))
    (path / "config.json").write_text(json.dumps({"task": "captioning", "captions": str(captions)}))
    return path


def test_videos_that_all_runs_captioned_are_shown_in_pictures_with_what_is_said(scenes, tmp_path) -> None:
    keys = sorted(path.name for path in (scenes / "videos").iterdir())
    runs = [make_run(tmp_path / "plain", scenes, keys, "plain says"),
            make_run(tmp_path / "masked", scenes, keys[1:], "masked says")]
    text = write_report(runs, tmp_path / "page.html", count=4, figures=False).page.read_text(encoding="utf-8")
    page = Page(text)
    assert "What the captions say" in page.text and "CIDEr" in page.text and "1.25" in page.text
    shown = [key for key in keys if f"plain says <{key}>" in page.text]
    assert len(shown) == 4 and keys[0] not in shown
    assert all(f"masked says <{key}>" in page.text and f"people say 1 of {key}" in page.text for key in shown)
    assert page.text.count("people say 2 of") == 4  # once each
    assert text.count('alt="Picture') == 4 * FRAMES and "<0" not in page.embedded
    assert f"says &lt;{shown[0]}&gt;" in text  # escaped


def test_captions_are_shown_without_the_videos_and_damage_is_said(tmp_path) -> None:
    run = make_run(tmp_path / "run", tmp_path / "nowhere", ["a", "b"], "it says")
    page = Page(write_report([run], tmp_path / "page.html", figures=False).page.read_text(encoding="utf-8"))
    assert "video not found: a" in page.text and "it says <b>" in page.text
    (run / "predictions" / "test.truth.jsonl").write_text("[]")
    with pytest.raises(HeedError, match="not captions in COCO's formats"):
        write_report([run], tmp_path / "page.html", figures=False)
