"""The registry of datasets, and captions in COCO's JSON."""

import gzip
import json
from collections import Counter

import pytest

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.datasets import read_captions
from pipeline.datasets.coco_captions import split_of
from pipeline.scenes import write_scenes
from tests.shared import SHARED, needs_shared

COCO = {
    "images": [{"id": 9, "file_name": "train2014/a.b.jpg"}, {"id": 4, "file_name": "c.jpg"}],
    "annotations": [
        {"id": 70, "image_id": 4, "caption": "A cat.\n"},
        {"id": 71, "image_id": 9, "caption": "A dog with a ball."},
        {"id": 72, "image_id": 4, "caption": "Two cats."},
    ],
}
EXPECTED = [Caption("70", "c.jpg", "A cat."), Caption("71", "a.b.jpg", "A dog with a ball."),
            Caption("72", "c.jpg", "Two cats.")]


@pytest.mark.parametrize("name", ["captions.json", "captions.json.gz"])
def test_coco_captions_are_read_and_recognised(tmp_path, name):
    data = json.dumps(COCO).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert read_captions(tmp_path / name) == EXPECTED
    assert read_captions(tmp_path / name, format="coco-captions") == EXPECTED


def test_a_split_is_a_stable_function_of_the_key():
    # By `printf c.jpg | sha256sum`: its first 8 bytes over 2^64.
    u = 0x92b3b1c43b181905 / 2**64
    assert [split_of("c.jpg", holdout) for holdout in (2 * u + 0.01, 2 * u - 0.01, u + 0.01, u - 0.01, 0)] == \
        ["test", "val", "val", "train", "train"]
    keys = [f"{i:012d}.jpg" for i in range(4000)]
    for holdout in (0.2, 0.5):
        pieces = Counter(split_of(key, holdout) for key in keys)
        assert pieces["test"] / 4000 == pytest.approx(holdout / 2, abs=0.03)
        assert pieces["val"] / 4000 == pytest.approx(holdout / 2, abs=0.03)


def test_splits_share_no_image_and_leave_none_out(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(60)]
    notes = [{"id": 5 * i + j, "image_id": i, "caption": f"{i} {j}"} for i in range(60) for j in range(5)]
    (tmp_path / "c.json").write_text(json.dumps({"images": images, "annotations": notes}))
    pieces = {split: read_captions(tmp_path / "c.json", split, holdout=0.4) for split in ("train", "val", "test")}
    keys = [{caption.key for caption in piece} for piece in pieces.values()]
    assert sum(map(len, keys)) == len(set.union(*keys)) == 60
    assert all(keys) and sum(map(len, pieces.values())) == 300
    assert len(read_captions(tmp_path / "c.json", "train", holdout=0.0)) == 300


@needs_shared
def test_published_captions_are_read():
    path = SHARED / "data" / "coco_photos" / "captions.json"
    content = json.loads(path.read_text())
    found = read_captions(path)
    assert len(found) == len(content["annotations"])
    assert {caption.key for caption in found} <= {image["file_name"] for image in content["images"]}
    assert sum(len(read_captions(path, split)) for split in ("train", "val", "test")) == len(found)


def test_a_scenes_folder_is_recognised(tmp_path):
    write_scenes(tmp_path / "s", 2, size=32)
    assert len(read_captions(tmp_path / "s")) == 10
    assert len(read_captions(tmp_path / "s" / "scenes.json", format="scenes")) == 10


@pytest.mark.parametrize(("content", "message"), [
    ("{", "is not JSON"), ("[1, 2]", "not COCO captions"), ('{"images": []}', "'annotations'"),
    ('{"images": [], "annotations": [{"id": 1, "image_id": 2, "caption": "x"}]}', "KeyError 2"),
    ('{"images": [{"id": 1, "file_name": "x/a"}, {"id": 2, "file_name": "y/a"}], "annotations": []}', "one file name"),
])
def test_wrong_json_is_told_in_a_sentence(tmp_path, content, message):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(HeedError, match=message):
        read_captions(tmp_path / "c.json")


def test_what_is_asked_for_wrongly_is_told_in_a_sentence(tmp_path):
    (tmp_path / "c.json.gz").write_bytes(b"no gzip")
    for arguments, message in [
        ((tmp_path / "none",), "does not exist"),
        ((tmp_path,), "none of the annotations"),
        ((tmp_path, "dev"), "no split 'dev'"),
        ((tmp_path, None, "sceens"), "mean 'scenes'"),
        ((tmp_path, None, "coco-captions"), "cannot be read"),
        ((tmp_path / "c.json.gz",), "cannot be read"),
        ((tmp_path / "c.json.gz", "train", None, 1.5), r"holdout of 1\.5"),
    ]:
        with pytest.raises(HeedError, match=message):
            read_captions(*arguments)
