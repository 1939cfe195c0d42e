"""MAD's annotations: times outside of the film, splits by file and by AutoAD's list, and what scenes publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.errors import HeedError
from pipeline.datasets import read_descriptions
from pipeline.scenes.video import annotate_video, video
from pipeline.scenes.video.published import mad


def entry(movie: str, start: float, end: float, sentence: str = "He waits.", duration: float = 100.0) -> dict:
    return {"movie": movie, "sentence": sentence, "movie_duration": duration, "timestamps": [start, end],
            "ext_timestamps": [start, end]}


def write(path: Path, entries: dict) -> Path:
    path.write_text(json.dumps(entries))
    return path


def test_times_outside_of_the_film_are_cut_or_left_out_and_counted(tmp_path):
    file = write(tmp_path / "MAD_test.json", {
        "5": entry("b", 10, 12.5), "3": entry("a", 98, 104), "1": entry("a", -3.5, 2), "9": entry("a", -8, -3),
        "2": entry("a", 7, 6), "4": entry("a", 50, 50), "6": entry("a", 120, 130), "7": entry("a", 40, 43)})
    found = read_descriptions(file)
    assert [(one.id, one.key, one.start, one.end) for one in found.rows] == [
        ("5", "b", 10, 12.5), ("1", "a", 0, 2), ("7", "a", 40, 43), ("3", "a", 98, 100)]
    assert [note.split(" descriptions")[0] for note in found.notes] == ["2", "2", "2"]
    assert "cut to it" in found.notes[0] and "do not end after they start" in found.notes[1]
    assert "outside of their film" in found.notes[2]


def test_a_film_without_a_duration_is_never_cut_at_its_end(tmp_path):
    one = entry("a", 3, 5000)
    del one["movie_duration"]
    found = read_descriptions(write(tmp_path / "MAD_test.json", {"0": one}))
    assert found.rows[0].end == 5000 and not found.notes


def test_a_folder_has_a_file_a_split_or_films_that_a_list_names(tmp_path):
    write(tmp_path / "MAD_train.json", {"0": entry("a", 1, 2), "1": entry("b", 1, 2)})
    write(tmp_path / "MAD_val.json", {"2": entry("c", 1, 2)})
    assert [one.key for one in read_descriptions(tmp_path, "train").rows] == ["a", "b"]
    assert [one.key for one in read_descriptions(tmp_path).rows] == ["a", "b", "c"]
    with pytest.raises(HeedError, match=r"no MAD_test\.json; it has MAD_train\.json, MAD_val\.json"):
        read_descriptions(tmp_path, "test")
    listed = write(tmp_path / "mad_split.json", {"TRAIN": ["a"], "V1-VAL": ["c"], "EVAL": ["b"]})
    chosen = {split: [one.key for one in read_descriptions(tmp_path, split, splits=listed).rows]
              for split in ("train", "val", "test")}
    assert chosen == {"train": ["a"], "val": ["c"], "test": ["b"]}
    with pytest.raises(HeedError, match="lacks EVAL"):
        read_descriptions(tmp_path, "test", splits=write(tmp_path / "other.json", {"TRAIN": []}))


def test_of_a_single_file_a_split_is_a_part_of_its_films(tmp_path):
    file = write(tmp_path / "mine.json", {str(i): entry(f"film{i // 2}", i, i + 1) for i in range(80)})
    parts = [{one.key for one in read_descriptions(file, split, holdout=0.4).rows}
             for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == 40 == len(set().union(*parts)) and min(map(len, parts)) >= 3


@pytest.mark.parametrize("text", ["[]", "{", '{"0": {"movie": "a", "sentence": "b"}}',
                                  '{"0": {"movie": "a", "sentence": "b", "ext_timestamps": [1]}}'])
def test_what_is_not_in_the_format_is_told(tmp_path, text):
    (tmp_path / "MAD_test.json").write_text(text)
    with pytest.raises(HeedError, match=r"MAD_test\.json"):
        read_descriptions(tmp_path)


def test_an_empty_split_and_unknown_annotations_are_told(tmp_path):
    write(tmp_path / "MAD_test.json", {"0": entry("a", 2, 1)})
    with pytest.raises(HeedError, match="has no descriptions of the split test"):
        read_descriptions(tmp_path, "test")
    with pytest.raises(HeedError, match="none of the running descriptions"):
        read_descriptions(write(tmp_path / "captions.json", {"images": []}))


def test_scenes_films_are_read_the_same_from_what_they_publish(tmp_path):
    rows = [annotate_video(video(3, index, 48), 64, 8) for index in (0, 1)]
    found = read_descriptions(write(tmp_path / "MAD_train.json", mad(rows)))
    wanted = sorted((row["key"].removesuffix(".mp4"), one["start"], one["end"], one["text"])
                    for row in rows for one in row["descriptions"])
    assert [(one.key, one.start, one.end, one.text) for one in found.rows] == wanted and not found.notes
