"""AttnGAN's data folders, made up as its release has them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.errors import HeedError
from pipeline.captioned_pictures import read_pictures, read_vocabulary

KEYS = {"train": ["001.Jay/Jay_1", "002.Owl/Owl.v2"], "test": ["003.Tit/Tit_1"]}


def birds(folder: Path, pickled: bool = True, boxes: str = "1 1.9 2.0 30.0 20.0\n2 5.0 5.0 9.9 9.0\n3 0.0 0.0 9.0 9.0\n"
          ) -> Path:
    for split, keys in KEYS.items():
        (folder / split).mkdir(parents=True)
        (folder / split / "filenames.pickle").write_bytes(pickle.dumps(keys, protocol=2))
        for key in keys:
            for root, ending in (("CUB_200_2011/images", "jpg"), ("text", "txt")):
                (folder / root / key).parent.mkdir(parents=True, exist_ok=True)
                path = folder / root / f"{key}.{ending}"
                if ending == "jpg":
                    Image.new("RGB", (40, 30)).save(path)
                else:
                    path.write_text("A blue bird.\n\n?!\nThe b\ufffd\ufffdrd’s café\n", encoding="utf-8")
    (folder / "train" / "class_info.pickle").write_bytes(pickle.dumps([7, np.int64(9)], protocol=2))
    cub = folder / "CUB_200_2011"
    cub.joinpath("images.txt").write_text(
        "".join(f"{n} {key}.jpg\n" for n, key in enumerate(KEYS["train"] + KEYS["test"], 1)))
    cub.joinpath("bounding_boxes.txt").write_text(boxes)
    if pickled:
        words = {0: "<end>", 1: "red", 2: "owl"}
        content = [[[1, 2], [2], [1], [2, 1]], [[1], [2]], words, {w: n for n, w in words.items()}]
        (folder / "captions.pickle").write_bytes(pickle.dumps(content, protocol=2))
    return folder


def test_birds_come_with_boxes_classes_and_pickled_captions(tmp_path: Path) -> None:
    folder = birds(tmp_path)
    jay, owl = read_pictures(folder, "train")
    assert jay.path == folder / "CUB_200_2011/images/001.Jay/Jay_1.jpg" and owl.key == "002.Owl/Owl.v2"
    assert [caption.text for caption in (*jay.captions, *owl.captions)] == ["red owl", "owl", "red", "owl red"]
    assert (jay.label, owl.label) == (7, 9) and jay.box == (1, 2, 30, 20) and owl.box == (5, 5, 9, 9)
    (tit,) = read_pictures(folder, "test")
    assert (tit.label, len(tit.captions)) == (0, 2) and read_pictures(folder, "val") == [tit]
    assert read_vocabulary(folder).words == ("<end>", "red", "owl")


def test_texts_are_read_where_there_is_no_pickle(tmp_path: Path) -> None:
    folder = birds(tmp_path, pickled=False)
    (tit,) = read_pictures(folder, "test")
    assert [caption.text for caption in tit.captions] == ["A blue bird.", "The b rd’s café"]
    assert read_vocabulary(folder).words == ("<end>", "a", "blue", "bird", "the", "b", "rd", "s", "caf")


@pytest.mark.parametrize(("damage", "reason"), [
    (lambda f: (f / "CUB_200_2011/images/003.Tit/Tit_1.jpg").unlink(), "1 of the 1 pictures"),
    (lambda f: (f / "CUB_200_2011/bounding_boxes.txt").write_text("1 1 2 3 4\n"), "no bounding box of"),
    (lambda f: (f / "CUB_200_2011/bounding_boxes.txt").write_text("one 1 2 3 4\n"), "do not go together"),
    (lambda f: (f / "test/filenames.pickle").write_bytes(pickle.dumps(["../../etc/passwd"])), "outside the data"),
    (lambda f: (f / "test/filenames.pickle").write_bytes(b"garbage"), "not AttnGAN's"),
    (lambda f: (f / "test/class_info.pickle").write_bytes(pickle.dumps([1, 2])), "2 classes for 1 pictures"),
    (lambda f: (f / "test/filenames.pickle").write_bytes(pickle.dumps([*KEYS["train"], "b", "c"])), "have as many"),
])
def test_what_is_wrong_is_said(tmp_path: Path, damage, reason: str) -> None:
    folder = birds(tmp_path)
    damage(folder)
    with pytest.raises(HeedError, match=reason):
        read_pictures(folder, "test")


def test_coco_has_images_beside_its_texts_and_a_class_a_picture(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "filenames.pickle").write_bytes(pickle.dumps([f"COCO_{split}2014_000000000009"]))
        for root, ending in (("images", "jpg"), ("text", "txt")):
            (tmp_path / root).mkdir(exist_ok=True)
            (tmp_path / root / f"COCO_{split}2014_000000000009.{ending}").write_text("one\ntwo\n3\n4\n5\n6\n")
    (picture,) = read_pictures(tmp_path, "train")
    assert (len(picture.captions), picture.label, picture.box) == (5, 0, None)
    assert picture.path == tmp_path / "images/COCO_train2014_000000000009.jpg"
