"""Captions as SCAN's users have them: Karpathy's json, and the *_precomp folder with its features."""

import gzip
import json

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.datasets import read_captions
from tests.pipeline.exchange.common import imported
from tests.pipeline.exchange.test_npy import images, scan


def image(number, split, sentences, **more):
    return {"sentids": [s for s, _ in sentences], "imgid": number, "split": split, **more,
            "sentences": [{"tokens": raw.lower().rstrip(".").split(), "raw": raw, "imgid": number, "sentid": s}
                          for s, raw in sentences]}


FLICKR = {"images": [
    image(0, "train", [(0, "Two men. "), (1, "Young guys.")], filename="1000092795.jpg"),
    image(1, "test", [(5, "A dog.")], filename="10002456.jpg"), image(2, "val", [(7, "A cat.")], filename="3.b.jpg"),
], "dataset": "flickr30k"}
COCO = {"images": [
    image(0, "restval", [(770337, "A man.")], filename="COCO_val2014_000000391895.jpg", filepath="val2014",
          cocoid=391895),
    image(1, "train", [(9, "A bus.")], filename="COCO_train2014_000000057870.jpg", filepath="train2014", cocoid=57870),
], "dataset": "coco"}


def write(path, content):
    data = json.dumps(content).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith("gz") else data)
    return path


@pytest.mark.parametrize("name", ["dataset_flickr30k.json", "dataset.json.gz"])
def test_karpathys_flickr_is_known_by_its_look_and_has_its_own_splits(tmp_path, name):
    path = write(tmp_path / name, FLICKR)
    assert read_captions(path, "train", holdout=0.9) == [
        Caption("0", "1000092795.jpg", "Two men."), Caption("1", "1000092795.jpg", "Young guys.")]
    assert read_captions(path, "val") == [Caption("7", "3.b.jpg", "A cat.")]
    assert len(read_captions(path)) == 4
    assert [caption.key for caption in read_captions(path, "test", keys="id")] == ["10002456"]


def test_karpathys_coco_trains_on_restval_unless_told_not_to_and_may_be_keyed_by_cocoid(tmp_path):
    path = write(tmp_path / "dataset_coco.json", COCO)
    assert [c.key for c in read_captions(path, "train")] == [
        "COCO_val2014_000000391895.jpg", "COCO_train2014_000000057870.jpg"]
    assert [c.key for c in read_captions(path, "train", restval=False, keys="id")] == ["57870"]
    assert read_captions(path, "val") == [] and len(read_captions(path)) == 2


def test_tokens_stand_in_for_a_caption_that_is_not_kept_as_written(tmp_path):
    content = json.loads(json.dumps(FLICKR))
    del content["images"][1]["sentences"][0]["raw"]
    assert read_captions(write(tmp_path / "d.json", content), "test") == [Caption("5", "10002456.jpg", "a dog")]


@pytest.mark.parametrize(("change", "words"), [
    (lambda c: c["images"][0].pop("split"), "KeyError 'split'"),
    (lambda c: c["images"][1].update(filename="1000092795.jpg"), "two images '1000092795.jpg'"),
    (lambda c: c["images"][1]["sentences"][0].update(sentid=0), "one sentid"),
])
def test_what_is_not_karpathys_layout_is_told(tmp_path, change, words):
    content = json.loads(json.dumps(FLICKR))
    change(content)
    with pytest.raises(HeedError, match=words):
        read_captions(write(tmp_path / "d.json", content))


def test_an_option_of_another_format_is_told(tmp_path):
    path = write(tmp_path / "c.json", {"images": [], "annotations": []})
    with pytest.raises(HeedError, match="format coco-captions, which has no option 'keys'"):
        read_captions(path, keys="id")


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("repeated", [1, 5])
def test_a_precomp_folder_joins_to_the_store_made_from_it(tmp_path, ids, repeated):
    """Every caption comes to the features of its own image, whether or not rows are repeated and ids are kept."""
    folder = tmp_path / "f30k_precomp"
    for split, first, count in (("dev", 0, 2), ("test", 2, 1), ("train", 3, 3)):
        rows = np.repeat(images(6)[first : first + count], repeated, axis=0)
        scan(folder, rows, 5 * count, [100 + first + i for i in range(count)] if ids else None, split)
    store, _ = imported("scan-npy", folder, tmp_path / "store")
    assert len(store) == 6
    for split, begins, first in (("train", "train", 3), ("val", "dev", 0), ("test", "test", 2)):
        captions = read_captions(folder, split)
        assert captions[6:7] == ([Caption(f"{begins}/6", f"{begins}/{101 + first if ids else 1}",
                                          "a caption, number 6")] if split != "test" else [])
        for number, caption in enumerate(captions):
            np.testing.assert_array_equal(store.regions(store.find(caption.key)).features,
                                          images(6)[first + number // 5])
    assert len(read_captions(folder)) == 30


def test_captions_alone_are_five_an_image_and_testall_stands_in_for_test(tmp_path):
    (tmp_path / "testall_caps.txt").write_bytes(b"one\r\ntwo\n\nfour \nfive\nsix\nseven\neight\nnine\nten")
    captions = read_captions(tmp_path, "test")
    assert [c.text for c in captions[:4]] == ["one", "two", "", "four"]
    assert [c.key for c in captions] == ["testall/0"] * 5 + ["testall/1"] * 5
    with pytest.raises(HeedError, match=r"no captions of split train: no train_caps.txt"):
        read_captions(tmp_path, "train")


def test_captions_that_do_not_go_with_anything_are_told(tmp_path):
    (tmp_path / "dev_caps.txt").write_text("one\ntwo\n")
    with pytest.raises(HeedError, match="has 2 captions of split dev, no ids, and no features"):
        read_captions(tmp_path, "val")
    scan(tmp_path, images(3), split="dev")
    with pytest.raises(HeedError, match="3 rows and 2 captions"):
        read_captions(tmp_path, "val")


def test_a_folder_without_features_is_told(tmp_path):
    with pytest.raises(HeedError, match=r"no file that ends in _ims\.npy"):
        imported("scan-npy", tmp_path, tmp_path / "store")
