"""MSR-VTT's published layout: both partitions, both ways the annotations are shipped, and damaged files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.datasets import read_captions, read_video_captions
from pipeline.datasets.msrvtt import full_split
from pipeline.scenes import write_scenes

NUMBERS = (0, 6512, 6513, 7009, 7010, 9999)
"""Videos on both sides of each border of the full partition."""


def write(folder: Path, name: str, numbers: tuple[int, ...], sentences_first: bool = False) -> None:
    videos = [{"category": 9, "url": "https://www.youtube.com/watch?v=9lZi22qLlEo", "video_id": f"video{n}",
               "start time": 137.72, "end time": 149.44, "split": "train", "id": n} for n in numbers]
    sentences = [{"caption": f" video {n} says {i} ", "video_id": f"video{n}", "sen_id": 20 * n + i}
                 for n in numbers for i in range(20)]
    parts = {"sentences": sentences, "videos": videos} if sentences_first else {"videos": videos,
                                                                                "sentences": sentences}
    (folder / name).write_text(json.dumps({"info": {"year": "2016", "version": "1.0"}, **parts}))


@pytest.fixture
def whole(tmp_path) -> Path:
    write(tmp_path, "MSRVTT_data.json", NUMBERS)
    return tmp_path


def keys(captions: list[Caption]) -> list[str]:
    return list(dict.fromkeys(caption.key for caption in captions))


@pytest.mark.parametrize(("split", "numbers"), [("train", (0, 6512)), ("val", (6513, 7009)), ("test", (7010, 9999)),
                                                (None, NUMBERS)])
def test_the_full_partition_goes_by_number(whole, split, numbers) -> None:
    found = read_captions(whole, split)
    assert keys(found) == [f"video{n}" for n in numbers] and len(found) == 20 * len(numbers)
    assert found[1] == Caption(str(20 * numbers[0] + 1), f"video{numbers[0]}", f"video {numbers[0]} says 1")
    assert found == read_captions(whole / "MSRVTT_data.json", split) == read_video_captions(whole, split)


def test_the_full_partition_has_the_published_sizes() -> None:
    sizes = Counter(full_split(f"video{n}") for n in range(10_000))
    assert sizes == {"train": 6513, "val": 497, "test": 2990}


def test_the_organisers_two_files_give_what_the_one_gives(whole, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("two")
    write(other, "train_val_videodatainfo.json", NUMBERS[:4])
    with pytest.raises(HeedError, match="no captions of MSR-VTT's split test"):
        read_captions(other, "test")
    write(other, "test_videodatainfo.json", NUMBERS[4:])
    assert read_captions(other) == read_captions(whole)
    assert read_captions(other, "test") == read_captions(whole, "test")


def test_a_file_that_begins_with_its_sentences_is_not_taken_for_karpathys(tmp_path) -> None:
    write(tmp_path, "captions.json", NUMBERS, sentences_first=True)
    assert len(read_captions(tmp_path / "captions.json", "val")) == 40


def test_1k_a_is_read_from_its_lists(whole) -> None:
    (whole / "MSRVTT_train.9k.csv").write_text("video_id\nvideo7009\nvideo9999\n")
    (whole / "MSRVTT_JSFUSION_test.csv").write_text(
        'key,vid_key,video_id,sentence\nret0,msr0,video0,"a man, who sings"\nret1,msr7010,video7010,a dog runs\n')
    train, test = (read_captions(whole, split, partition="1k-a") for split in ("train", "test"))
    assert keys(train) == ["video7009", "video9999"] and len(train) == 40
    assert test == [Caption("ret0", "video0", "a man, who sings"), Caption("ret1", "video7010", "a dog runs")]
    assert read_captions(whole, partition="1k-a") == train + test
    with pytest.raises(HeedError, match="has no val split"):
        read_captions(whole, "val", partition="1k-a")
    (whole / "MSRVTT_train.9k.csv").write_text("video\nvideo7009\n")
    with pytest.raises(HeedError, match="lacks columns: video_id"):
        read_captions(whole, "train", partition="1k-a")
    (whole / "MSRVTT_JSFUSION_test.csv").unlink()
    with pytest.raises(HeedError, match=r"needs .*JSFUSION_test\.csv"):
        read_captions(whole, "test", partition="1k-a")


@pytest.mark.parametrize(("damage", "words"), [
    (lambda content: content["sentences"][0].pop("caption"), "not MSR-VTT's: KeyError 'caption'"),
    (lambda content: content["sentences"][0].update(video_id="video5"), "about 'video5', which is none of its videos"),
    (lambda content: content["sentences"][1].update(sen_id=0), "two captions with one sen_id"),
    (lambda content: content.update(videos=[{"video_id": "cat"}], sentences=[
        {"video_id": "cat", "sen_id": 1, "caption": "a cat"}]), "'cat' is none of them"),
])
def test_what_is_wrong_in_a_file_is_said(whole, damage, words) -> None:
    content = json.loads((whole / "MSRVTT_data.json").read_text())
    damage(content)
    (whole / "MSRVTT_data.json").write_text(json.dumps(content))
    with pytest.raises(HeedError, match=words):
        read_captions(whole, "train")


def test_of_a_scenes_folder_with_pictures_the_videos_are_captioned(tmp_path) -> None:
    write_scenes(tmp_path, 2, size=64, workers=1)
    with pytest.raises(HeedError, match="no captions of videos"):
        read_video_captions(tmp_path)
    with pytest.raises(HeedError, match="does not exist"):
        read_video_captions(tmp_path / "nowhere")
