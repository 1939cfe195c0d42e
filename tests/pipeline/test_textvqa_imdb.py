"""The imdb files of both layouts, written with NumPy's own pickling."""

import json
import os

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.datasets import read_text_questions
from pipeline.ocr_boxes import write_ocr_boxes
from pipeline.sources import open_source


def imdb(path, *entries):
    np.save(path, np.array([{"dataset_type": "val", "version": 1}, *entries], object), allow_pickle=True)
    return path


def sam(number, **changes):
    """An entry of sam-textvqa's tvqa_val_imdb.npy, with keys that nobody reads."""
    return {"question": "what does it say?", "question_id": number, "image_id": "003a8ae2ef43b901",
            "answers": ["stop", "Stop!"] * 5, "image_height": 100, "image_width": 200, "set_name": "val",
            "google_ocr_tokens_filtered": ["STOP", "4 way"], "google_ocr_info_filtered": [{"word": "STOP"}], **changes}


def mmf(number, **changes):
    return {"question": "which?", "question_tokens": ["which"], "question_id": np.int64(number), "image_id": "0a",
            "image_path": "train/0a.b.jpg", "feature_path": "0a.npy", "image_width": 200, "image_height": 100,
            "ocr_tokens": ["ale", "19"], "ocr_normalized_boxes": np.array([[0.1, 0.2, 0.5, 0.4], [0, 0, 1, 1]]),
            "obj_normalized_boxes": np.zeros((2, 4)), "answers": ["ale"] * 10, "valid_answers": ["ale"], **changes}


def test_sam_textvqas_layout_is_read_in_the_order_of_ids(tmp_path):
    imdb(tmp_path / "tvqa_val_imdb.npy", sam(34603), sam(34602))
    imdb(tmp_path / "tvqa_train_imdb.npy", sam(1))
    found = read_text_questions(tmp_path, "val")
    assert [asked.id for asked in found] == ["34602", "34603"]
    assert found[0].key == "003a8ae2ef43b901" and found[0].answers == ("stop", "Stop!") * 5
    assert [token.text for token in found[0].tokens] == ["STOP", "4 way"] and not found[0].tokens[0].box.any()
    without = sam(7)
    del without["answers"]
    assert read_text_questions(imdb(tmp_path / "tvqa_test_imdb.npy", without))[0].answers == ()
    assert len(read_text_questions(tmp_path)) == 4


def test_mmfs_layout_has_boxes_and_keys_of_features(tmp_path):
    coco = mmf(9, feature_path="COCO_train2014_000000000009.npy", image_path="x.jpg")
    imdb(tmp_path / "imdb_train_ocr_en.npy", mmf(5), coco)
    imdb(tmp_path / "imdb_train_ocr_ml.npy", mmf(6))
    first, second = read_text_questions(tmp_path, "train")
    assert (first.id, first.key, second.key) == ("5", "train/0a.b", "COCO_train2014_000000000009")
    assert np.allclose([token.box for token in first.tokens], [[20, 20, 100, 40], [0, 0, 200, 100]])


def test_mmfs_older_layout_tells_corners_and_sizes(tmp_path):
    box = {"top_left_x": 0.25, "top_left_y": 0.5, "width": 0.5, "height": 0.25}
    older = {"topLeftX": 0.0, "topLeftY": 0.0, "width": 1.0, "height": 1.0}
    entry = mmf(1, ocr_info=[{"word": "ale", "bounding_box": box}, {"word": "19", "bounding_box": older}],
                question_str="older?")
    del entry["ocr_normalized_boxes"], entry["question"]
    asked = read_text_questions(imdb(tmp_path / "imdb_val.npy", entry))[0]
    assert asked.text == "older?"
    assert np.allclose([token.box for token in asked.tokens], [[50, 50, 150, 75], [0, 0, 200, 100]])


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


@pytest.mark.parametrize(("entry", "words"), [
    (mmf(1, ocr_normalized_boxes=np.zeros((3, 4))), "Entry 1 of .*2 words have 3 boxes"),
    ({"question": "x"}, "Entry 1 of .*not understood"), (sam(1, question=5), "question is int"),
    (sam(1, extra=Attack()), "posix.system"), ("text", "where a dictionary is expected"),
])
def test_what_is_not_understood_is_told_and_nothing_is_run(tmp_path, monkeypatch, entry, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeedError, match=words):
        read_text_questions(imdb(tmp_path / "imdb_val_ocr_en.npy", entry))
    assert not (tmp_path / "attacked").exists()


def test_a_folder_without_the_split_or_a_format_nobody_knows_is_told(tmp_path):
    imdb(tmp_path / "tvqa_val_imdb.npy", sam(1))
    with pytest.raises(HeedError, match="no imdb file of the split test"):
        read_text_questions(tmp_path, "test")
    with pytest.raises(HeedError, match="none of the questions"):
        read_text_questions(tmp_path / "tvqa_val_imdb.npy", format="other")
    with pytest.raises(HeedError, match="does not exist"):
        read_text_questions(tmp_path / "nothing")


def test_boxes_of_words_are_a_source_of_given_boxes(tmp_path):
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "images" / "train" / "0a.b.jpg").write_bytes(b"picture")
    questions = read_text_questions(imdb(tmp_path / "imdb_train_ocr_en.npy", mmf(5), mmf(6)))
    assert write_ocr_boxes(questions, tmp_path / "images", tmp_path / "list.jsonl") == (1, 2)
    assert len(json.loads((tmp_path / "list.jsonl").read_text())["boxes"]) == 2
    item = open_source(str(tmp_path / "list.jsonl")).items[0]
    assert item.key == "train/0a.b" and np.allclose(item.boxes[0], [20, 20, 100, 40])
    with pytest.raises(HeedError, match=r"no image 'train/0a\.b'"):
        write_ocr_boxes(questions, tmp_path, tmp_path / "list.jsonl")
    nowhere = read_text_questions(imdb(tmp_path / "tvqa_val_imdb.npy", sam(1)))
    with pytest.raises(HeedError, match="vilbert-lmdb"):
        write_ocr_boxes(nowhere, tmp_path, tmp_path / "list.jsonl")
