"""Read the captions of MSR-VTT (Xu et al., CVPR 2016): 10,000 videos with 20 captions each.

    {"videos": [{"video_id": "video0", "category": 9, "url": …, "start time": …, "end time": …, "split": "train"}, …],
     "sentences": [{"sen_id": 0, "video_id": "video0", "caption": "a car is shown"}, …]}

Such a file is MSRVTT_data.json, which has all videos, or the organisers' two, train_val_videodatainfo.json and
test_videodatainfo.json. The full partition, that of the captioning papers, goes by the videos' numbers: 6,513 for
training (0 to 6512), 497 for validation (to 7009), 2,990 for testing. The partition 1k-A, that of the retrieval papers
(Yu et al., ECCV 2018), is in two files beside them: MSRVTT_train.9k.csv names 9,000 videos (column video_id) and
MSRVTT_JSFUSION_test.csv 1,000 others, each with the one sentence it is asked by (columns video_id, sentence).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.datasets.coco_captions import load_json

ALL, TRAIN_VAL, TEST = "MSRVTT_data.json", "train_val_videodatainfo.json", "test_videodatainfo.json"
TRAIN_9K, JSFUSION = "MSRVTT_train.9k.csv", "MSRVTT_JSFUSION_test.csv"
FIRST_VAL, FIRST_TEST = 6513, 7010
"""Numbers of the first videos of the full partition's val and test."""
_HEAD = 4096


def recognises(path: Path) -> bool:
    """Whether this is a folder with one of the published .json files, or a .json that soon speaks of a video_id."""
    if path.is_dir():
        return any((path / name).is_file() for name in (ALL, TRAIN_VAL, TEST))
    if not (path.is_file() and path.suffix == ".json"):
        return False
    with path.open("rb") as file:
        return re.search(rb'"video_id"\s*:\s*"', file.read(_HEAD)) is not None


def read(
    path: str | Path, split: str | None = None, holdout: float = 0.2, partition: Literal["full", "1k-a"] = "full",
) -> list[Caption]:
    """Captions in the order of the files; a video's key is its video_id, "video0".

    Both partitions are published, so ``holdout`` is not used. 1k-A has no val: papers choose checkpoints on its test.
    Raises `HeedError` for a file that is missing or something else, and for a split that has no captions in it.
    """
    path = Path(path)
    if partition not in ("full", "1k-a"):
        raise HeedError(f"MSR-VTT has the partitions full and 1k-a, not {partition!r}.")
    captions = [caption for file in _files(path) for caption in _read_file(file)]
    if len({caption.id for caption in captions}) != len(captions):
        raise HeedError(f"{path} has two captions with one sen_id.")
    found = _of_1k_a(path, captions, split) if partition == "1k-a" else [
        caption for caption in captions if split is None or full_split(caption.key) == split]
    if not found:
        raise HeedError(f"{path} has no captions of MSR-VTT's split {split}: its {TRAIN_VAL} holds train and val, "
                        f"{TEST} test.")
    return found


def full_split(key: str) -> str:
    """The split of a video in the full partition, by its number; `HeedError` where the key has none."""
    number = key.removeprefix("video")
    if not number.isdecimal():
        raise HeedError(f"MSR-VTT's videos are called video0, video1, …; {key!r} is none of them.")
    return "train" if int(number) < FIRST_VAL else "val" if int(number) < FIRST_TEST else "test"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / ALL).is_file():
        return [path / ALL]
    files = [path / name for name in (TRAIN_VAL, TEST) if (path / name).is_file()]
    if not files:
        raise HeedError(f"{path} has neither {ALL} nor {TRAIN_VAL} and {TEST}.")
    return files


def _read_file(path: Path) -> Iterator[Caption]:
    content = load_json(path)
    try:
        videos = {video["video_id"] for video in content["videos"]}
        for sentence in content["sentences"]:
            key = sentence["video_id"]
            if key not in videos:
                raise HeedError(f"{path} has a sentence about {key!r}, which is none of its videos.")
            yield Caption(str(sentence["sen_id"]), key, sentence["caption"].strip())
    except (KeyError, TypeError, AttributeError) as error:
        raise HeedError(f"{path} is JSON but not MSR-VTT's: {type(error).__name__} {error} in its videos or sentences."
                        ) from None


def _of_1k_a(path: Path, captions: list[Caption], split: str | None) -> list[Caption]:
    if split == "val":
        raise HeedError("MSR-VTT's partition 1k-A has no val split; papers choose checkpoints on its test split.")
    folder = path if path.is_dir() else path.parent
    found: list[Caption] = []
    if split in (None, "train"):
        videos = {row["video_id"] for row in _rows(folder / TRAIN_9K, ("video_id",))}
        found += [caption for caption in captions if caption.key in videos]
    if split in (None, "test"):
        rows = _rows(folder / JSFUSION, ("key", "video_id", "sentence"))
        found += [Caption(row["key"], row["video_id"], row["sentence"].strip()) for row in rows]
    return found


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise HeedError(f"The partition 1k-A needs {path}, which cannot be read: {error}.") from None
    if not rows or any(row.get(column) is None for row in rows for column in columns):
        raise HeedError(f"{path} lacks columns: {', '.join(columns)} are expected in every line.")
    return rows
