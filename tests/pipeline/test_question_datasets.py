"""Questions about images: CLEVR's and VQA's published files, scenes, and the keys under which stores hold images."""

import gzip
import json

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.datasets import read_questions
from pipeline.datasets.clevr import looked_at, object_boxes
from pipeline.datasets.coco_captions import split_of
from pipeline.join_keys import key_of
from pipeline.scenes import write_scenes
from tests.shared import SHARED, needs_shared

SCENE = {
    "image_index": 7, "image_filename": "CLEVR_val_000007.png",
    "objects": [
        {"shape": "cube", "color": "red", "size": "large", "material": "metal", "pixel_coords": [100, 150, 10.0]},
        {"shape": "sphere", "color": "red", "size": "small", "material": "rubber", "pixel_coords": [300, 100, 12.5]},
        {"shape": "cylinder", "color": "blue", "size": "large", "material": "rubber", "pixel_coords": [5, 310, 8.0]},
        {"shape": "cube", "color": "blue", "size": "large", "material": "metal", "pixel_coords": [400, 200, 9.0]},
    ],
    "relationships": {"left": [[2], [0, 2], [], [0, 1, 2]], "right": [[1, 3], [3], [0, 1, 3], []]},
}


def step(function, *inputs, value=()):
    return {"function": function, "inputs": list(inputs), "value_inputs": list(value)}


QUESTIONS = [  # program, answer, kind, the objects to look at
    ([step("scene"), step("filter_color", 0, value=["blue"]), step("filter_material", 1, value=["metal"]),
      step("unique", 2), step("query_shape", 3)], "cube", "query attribute", {3}),
    ([step("scene"), step("filter_shape", 0, value=["sphere"]), step("unique", 1), step("relate", 2, value=["left"]),
      step("filter_size", 3, value=["large"]), step("count", 4)], "2", "count", {0, 1, 2}),
    ([step("scene"), step("filter_color", 0, value=["green"]), step("exist", 1)], "no", "exist", set()),
    ([step("scene"), step("filter_color", 0, value=["red"]), step("count", 1), step("scene"),
      step("filter_shape", 3, value=["cylinder"]), step("count", 4), step("greater_than", 2, 5)], "yes",
     "compare numbers", {0, 1, 2}),
    ([step("scene"), step("filter_shape", 0, value=["sphere"]), step("unique", 1), step("same_color", 2),
      step("unique", 3), step("query_size", 4)], "large", "query attribute", {0, 1}),
    ([step("scene"), step("filter_shape", 0, value=["sphere"]), step("unique", 1), step("scene"),
      step("filter_shape", 3, value=["cylinder"]), step("unique", 4), step("query_color", 2), step("query_color", 5),
      step("equal_color", 6, 7)], "no", "compare attribute", {1, 2}),
    ([step("scene"), step("filter_color", 0, value=["blue"]), step("scene"), step("filter_shape", 2, value=["cube"]),
      step("union", 1, 3), step("count", 4)], "3", "count", {0, 2, 3}),
    ([step("scene"), step("filter_color", 0, value=["blue"]), step("scene"), step("filter_shape", 2, value=["cube"]),
      step("intersect", 1, 3), step("count", 4)], "1", "count", {3}),
]


def clevr(folder):
    """A CLEVR folder of one image a split; its test has neither answers nor programs."""
    (folder / "questions").mkdir(parents=True)
    (folder / "scenes").mkdir()
    for split in ("train", "val", "test"):
        rows = [{"image_index": 7, "image_filename": f"CLEVR_{split}_000007.png", "question": f"Question {i}?",
                 "split": split, "question_index": 40 + i, "answer": answer, "program": program}
                for i, (program, answer, _, _) in enumerate(QUESTIONS)]
        if split == "test":
            rows = [{name: value for name, value in row.items() if name not in ("answer", "program")} for row in rows]
        (folder / "questions" / f"CLEVR_{split}_questions.json").write_text(json.dumps({"questions": rows}))
        scene = {**SCENE, "image_filename": f"CLEVR_{split}_000007.png"}
        if split != "test":
            (folder / "scenes" / f"CLEVR_{split}_scenes.json").write_text(json.dumps({"scenes": [scene]}))
    return folder


def test_clevr_has_kinds_programs_and_boxes_of_what_they_look_at(tmp_path):
    read = read_questions(clevr(tmp_path), "val")
    boxes = object_boxes(SCENE)
    assert len(read) == len(QUESTIONS)
    for i, (asked, (program, answer, kind, objects)) in enumerate(zip(read, QUESTIONS, strict=True)):
        assert (asked.id, asked.key, asked.text) == (f"val-{40 + i}", "CLEVR_val_000007.png", f"Question {i}?")
        assert (asked.answers, asked.kind) == ((answer,), kind)
        assert [name for name, _, _ in asked.program] == [one["function"] for one in program]
        np.testing.assert_array_equal(asked.boxes, boxes[sorted(objects)])
        assert looked_at(asked.program, SCENE) == objects


def test_clevrs_boxes_are_the_pinhole_image_of_the_objects():
    boxes = object_boxes(SCENE)
    half = 35 / 32 * 480 * 0.35 / 12.5  # focal length in pixels, radius, depth
    assert np.allclose(boxes[1], [300 - half, 100 - half, 300 + half, 100 + half])
    assert boxes.dtype == np.float32 and boxes[2, 0] == 0 and boxes[2, 3] == 320  # cut to the image
    assert 0.85 < (boxes[0, 2] - boxes[0, 0]) / (2 * 525 * 0.7 / 10) < 0.95


def test_clevrs_test_keeps_its_answers_back_and_a_file_or_mac_layout_will_do(tmp_path):
    folder = clevr(tmp_path / "a")
    test = read_questions(folder, "test")
    assert len(test) == len(QUESTIONS) and all(one.answers == () and one.kind == "" for one in test)
    alone = folder / "questions" / "CLEVR_train_questions.json"
    assert len(read_questions(alone, "train")) == len(QUESTIONS) and read_questions(alone, "train")[0].boxes.size
    assert len(read_questions(folder)) == 3 * len(QUESTIONS)
    (tmp_path / "data").mkdir()  # MAC puts all files in one folder
    alone.rename(tmp_path / "data" / alone.name)
    assert [one.boxes.size for one in read_questions(tmp_path / "data", "train")] == [0] * len(QUESTIONS)
    with pytest.raises(HeedError, match=r"CLEVR_val_questions\.json is missing"):
        read_questions(tmp_path / "data", "val")
    (tmp_path / "data" / alone.name).write_text('{"questions": [{"question": 3}]}')
    with pytest.raises(HeedError, match="is JSON but not CLEVR's questions"):
        read_questions(tmp_path / "data", "train")


def vqa(folder, subset, name="v2_OpenEnded_mscoco_{}_questions.json", notes="v2_mscoco_{}_annotations.json", count=40):
    folder.mkdir(exist_ok=True)
    questions = [{"image_id": 10 + i, "question": f"Question {i}?", "question_id": 1000 + i} for i in range(count)]
    (folder / name.format(subset)).write_text(json.dumps({"data_subtype": subset, "questions": questions}))
    if notes:
        rows = [{"question_id": 1000 + i, "image_id": 10 + i, "answer_type": "other", "question_type": "what",
                 "answers": [{"answer": word} for word in ["cat"] * 7 + ["dog"] * 3]} for i in range(count)]
        (folder / notes.format(subset)).write_text(json.dumps({"annotations": rows}))
    return folder


def test_vqa_questions_are_joined_to_their_ten_answers(tmp_path):
    for subset in ("train2014", "val2014"):
        vqa(tmp_path, subset)
    vqa(tmp_path, "test2015", notes="")
    vqa(tmp_path, "test-dev2015", notes="")
    first = read_questions(tmp_path, "val")[0]
    assert (first.id, first.key, first.kind) == ("1000", "COCO_val2014_000000000010.jpg", "other")
    assert first.answers == ("cat",) * 7 + ("dog",) * 3
    test = read_questions(tmp_path, "test")[0]
    assert (test.key, test.answers) == ("COCO_test2015_000000000010.jpg", ())
    with pytest.raises(HeedError, match=r"v2_mscoco_train2014_annotations\.json is missing"):
        (tmp_path / "v2_mscoco_train2014_annotations.json").unlink()
        read_questions(tmp_path, "train")


def test_a_vqa_file_without_a_split_is_cut_by_its_images(tmp_path):
    vqa(tmp_path, "mixed", "vqa_v2_questions.json", "vqa_v2_annotations.json")
    file = tmp_path / "vqa_v2_questions.json"
    parts = {split: read_questions(file, split) for split in ("train", "val", "test")}
    assert sorted(one.id for part in parts.values() for one in part) == sorted(one.id for one in read_questions(file))
    for split, part in parts.items():
        assert all(one.key == f"{int(one.id) - 990:012d}.jpg" and split_of(one.key, 0.2) == split for one in part)
    packed = tmp_path / "zipped"
    packed.mkdir()
    for path in tmp_path.glob("*.json"):
        (packed / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert [one.id for one in read_questions(packed, "train")] == [one.id for one in parts["train"]]


@needs_shared
def test_published_questions_of_vqa_v2_are_read():
    read = read_questions(SHARED / "data" / "vqa" / "vqa_v2_60k_questions_test.json.gz", "test")
    photos = read_questions(SHARED / "data" / "coco_photos" / "vqa_v2_questions.json")
    assert all(len(one.answers) == 10 for one in (*read, *photos)) and {one.kind for one in read} == {
        "yes/no", "number", "other"}


def test_scenes_questions_and_what_is_no_dataset(tmp_path):
    write_scenes(tmp_path / "scenes", 10, size=32)
    everything = read_questions(tmp_path / "scenes", "test")
    ten = read_questions(tmp_path / "scenes", "test", ten_answers=True)
    assert 0 < len(ten) < len(everything) and {one.id for one in ten} < {one.id for one in everything}
    with pytest.raises(HeedError, match="none of the questions that heed knows"):
        read_questions(tmp_path)
    with pytest.raises(HeedError, match="Did you mean 'clevr'"):
        read_questions(tmp_path, format="clever")
    with pytest.raises(HeedError, match="Only scenes"):
        read_questions(clevr(tmp_path / "clevr"), "val", ten_answers=True)
    with pytest.raises(HeedError, match="does not exist"):
        read_questions(tmp_path / "nowhere")


@pytest.mark.parametrize("stored", ["COCO_val2014_000000000042.jpg", "COCO_val2014_000000000042", "000000000042.jpg",
                                    "000000000042", "42"])
def test_a_stores_own_form_of_the_keys_is_found(stored):
    class Held:
        def find(self, key, unread=False):
            return 0 if key == stored else None

    class Asked:
        key = "COCO_val2014_000000000042.jpg"

    assert key_of(Held(), [f"COCO_val2014_{i:012d}.jpg" for i in range(40, 60)])(Asked) == stored
