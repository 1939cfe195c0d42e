import os

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.exporter import export
from pipeline.importer import open_import
from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported, toy_store


def scan(folder, rows, captions=None, ids=None, split="dev"):
    """{split}_ims.npy of (rows, 4, 6) with captions and ids, as SCAN's precomputed data."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{split}_ims.npy", rows)
    if captions is not None:
        (folder / f"{split}_caps.txt").write_text("".join(f"a caption, number {i}\n" for i in range(captions)))
    if ids is not None:
        (folder / f"{split}_ids.txt").write_text("".join(f"{i}\n" for i in ids))
    return folder / f"{split}_ims.npy"


def images(count):
    return np.stack([features(4, i) for i in range(count)])


def test_scan_stores_features_and_says_that_there_are_no_boxes(tmp_path):
    path = scan(tmp_path / "f30k_precomp", images(3), captions=15)
    store, _ = imported("scan-npy", path, tmp_path / "store")
    assert list(store.keys()) == ["0", "1", "2"]
    read = store.regions(2)
    assert np.array_equal(read.features, features(4, 2)) and not read.boxes.any() and read.boxes.shape == (4, 4)
    assert (read.width, read.height) == (0, 0) and "zeros" in store.identity.extractor["note"]


@pytest.mark.parametrize("ids", [None, [7, 8], [7] * 5 + [8] * 5])
def test_scans_rows_repeated_for_each_caption_are_one_entry(tmp_path, ids):
    path = scan(tmp_path / "s", np.repeat(images(2), 5, axis=0), captions=10, ids=ids)
    store, _ = imported("scan-npy", path, tmp_path / "store")
    assert list(store.keys()) == (["7", "8"] if ids else ["0", "1"])
    assert np.array_equal(store.regions(1).features, features(4, 1))


def test_scans_ids_are_the_keys_and_one_caption_an_image_is_allowed(tmp_path):
    path = scan(tmp_path / "s", images(5), captions=5, ids=[9, 3, 5, 1, 4])
    store, _ = imported("scan-npy", path, tmp_path / "store")
    assert list(store.keys()) == ["9", "3", "5", "1", "4"]
    assert np.array_equal(store.regions(store.find("5")).features, features(4, 2))


@pytest.mark.parametrize(("options", "words"), [
    ({"captions": 14}, "14 captions"), ({"ids": [1, 2]}, "2 ids"), ({"ids": [1, 1, 2]}, "Two inputs have the key '1'"),
])
def test_scan_files_that_do_not_belong_together_are_refused(tmp_path, options, words):
    with pytest.raises(HeedError, match=words):
        open_import("scan-npy", scan(tmp_path / "s", images(3), **options), "float32")


@pytest.mark.parametrize("rows", [np.zeros((3, 4)), np.zeros((2, 3, 4), int), np.asfortranarray(np.ones((2, 3, 4))),
                                  np.array([{"a": 1}])])
def test_another_npy_is_not_scans(tmp_path, rows):
    with pytest.raises(HeedError, match=r"SCAN's file is \(images, regions, d\)|no whole \.npy"):
        open_import("scan-npy", scan(tmp_path / "s", rows), "float32")


def test_a_cut_scan_file_is_refused(tmp_path):
    path = scan(tmp_path / "s", images(3))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(HeedError, match="cut short"):
        open_import("scan-npy", path, "float32")


def info(n, seed=0, **changes):
    """An _info.npy as MMF's extract_features_vmb.py makes it: 9 classes, background left out."""
    probabilities = np.full((n, 9), 0.01, "f4")
    probabilities[np.arange(n), np.arange(n) + 2] = 0.8
    value = {"bbox": boxes(n, seed), "num_boxes": n - 1, "objects": np.arange(n) + 2, "cls_prob": probabilities,
             "image_width": WIDTH, "image_height": HEIGHT}
    return {**value, **changes}


def mmf(folder, key, features_, info_=None):
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{key}.npy", features_)
    if info_ is not None:
        np.save(folder / f"{key}_info.npy", info_)


def test_mmf_reads_features_with_their_info(tmp_path):
    for i in range(3):
        mmf(tmp_path / "f", f"train/{i}", features(3 + i, i), info(3 + i, i))
    store, summary = imported("mmf-npy", tmp_path / "f", tmp_path / "store")
    assert list(store.keys()) == ["train/0", "train/1", "train/2"] and not summary.failures
    read = store.regions(1)
    assert np.array_equal(read.features, features(4, 1)) and np.array_equal(read.boxes, boxes(4, 1))
    assert read.classes.tolist() == [2, 3, 4, 5] and np.allclose(read.class_scores, 0.8)
    assert (read.width, read.height) == (WIDTH, HEIGHT)


def test_mmf_without_info_has_zero_boxes_and_an_info_alone_is_counted(tmp_path):
    mmf(tmp_path / "f", "a", features(3))
    np.save(tmp_path / "f" / "b_info.npy", info(3))
    store, summary = imported("mmf-npy", tmp_path / "f", tmp_path / "store")
    assert not store.regions(0).boxes.any() and store.regions(0).width == 0
    assert summary.failures == [{"key": "b_info", "reason": "is an info file whose features are not beside it"}]


def test_vilberts_npy_is_one_dictionary_with_background_first(tmp_path):
    value = info(3)
    value.update(cls_prob=np.pad(value["cls_prob"], ((0, 0), (1, 0)), constant_values=0.9), features=features(3))
    del value["objects"]
    (tmp_path / "f").mkdir()
    np.save(tmp_path / "f" / "1.npy", value)
    read = imported("mmf-npy", tmp_path / "f", tmp_path / "store")[0].regions(0)
    assert read.classes.tolist() == [2, 3, 4] and np.allclose(read.class_scores, 0.8)
    assert np.array_equal(read.features, features(3))


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


@pytest.mark.parametrize(("value", "words"), [
    (info(4), "not 3 rows"), (info(3, bbox=None), "bbox is NoneType"),
    (info(3, image_width=None), "whole"), (info(3, bbox=np.ones((3, 5))), "not 3 rows of 4 numbers"),
    (info(3, objects=Attack()), "posix.system"), ({}, "has no bbox"), (info(3, cls_prob=np.ones(5)), "cls_prob"),
])
def test_mmf_damaged_infos_are_counted(tmp_path, monkeypatch, value, words):
    monkeypatch.chdir(tmp_path)
    mmf(tmp_path / "f", "a", features(3), info(3))
    mmf(tmp_path / "f", "b", features(3), value)
    _, summary = imported("mmf-npy", tmp_path / "f", tmp_path / "store")
    assert summary.stored == 1 and words in summary.failures[0]["reason"]
    assert not (tmp_path / "attacked").exists()


def test_mmfs_files_are_written_as_published(tmp_path):
    store = toy_store(tmp_path, 2)
    export("mmf-npy", store, tmp_path / "f")
    key, row = next(iter(store.keys())), store.row(0)
    plain = np.load(tmp_path / "f" / f"{key}.npy", allow_pickle=False)
    assert plain.dtype == np.float32 and np.array_equal(plain, row["features"].astype("f4"))
    told = np.load(tmp_path / "f" / f"{key}_info.npy", allow_pickle=True).item()
    assert set(told) == {"bbox", "num_boxes", "objects", "cls_prob", "image_width", "image_height"}
    assert told["num_boxes"] == len(row["boxes"]) and told["image_width"] == 64
    assert told["cls_prob"].shape == (len(row["boxes"]), 1600)
    assert np.array_equal(told["cls_prob"].argmax(axis=1), row["classes"])
    assert np.array_equal(told["cls_prob"].max(axis=1), row["class_scores"])


def test_mmf_holds_rows_without_boxes_and_refuses_names_of_infos(tmp_path):
    path = scan(tmp_path / "s", images(2), ids=["x", "y_info"])
    store, _ = imported("scan-npy", path, tmp_path / "store")
    with pytest.raises(HeedError, match="'y_info' ends as the names of MMF's info files do"):
        export("mmf-npy", store, tmp_path / "f")
    store, _ = imported("scan-npy", scan(tmp_path / "t", images(2), ids=["x", "y"]), tmp_path / "other")
    export("mmf-npy", store, tmp_path / "f")
    again, _ = imported("mmf-npy", tmp_path / "f", tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["x.npy", "y.npy"]
    assert all(np.array_equal(again.regions(i).features, store.regions(i).features) for i in range(2))
    assert again.regions(1).width == 0 and not again.regions(1).boxes.any()


def test_mmf_reads_features_of_words_whose_image_has_no_size(tmp_path):
    mmf(tmp_path / "f", "train/a", features(3), {"ocr_boxes": boxes(3).astype("f8"), "ocr_tokens": ["a", "b", "c"]})
    mmf(tmp_path / "f", "train/none", np.zeros((0, 6), "f4"), {"ocr_boxes": np.zeros((0, 4)), "ocr_tokens": []})
    store, summary = imported("mmf-npy", tmp_path / "f", tmp_path / "store")
    assert not summary.failures and np.array_equal(store.regions(0).features, features(3))
    assert not store.regions(0).boxes.any() and store.regions(0).width == 0
    assert len(store.regions(1).features) == 0
