"""MMF's LMDB as its lmdb_conversion.py makes it, here with the lmdb package, which heed's reader does not use."""

import pickle

import numpy as np
import pytest

from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported

NAMES = ("image_height", "image_width", "num_boxes", "objects", "cls_prob", "bbox")


def mmf_lmdb(path, infos):
    """Write entries of three regions; an info of None is one that had no file."""
    import lmdb

    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for number, (key, info) in enumerate(infos.items()):
            entry = {"feature_path": key, "features": features(3, number)}
            if info is not None:
                entry |= {name: info.get(name) for name in NAMES}
            transaction.put(key.encode(), pickle.dumps(entry))
        transaction.put(b"keys", pickle.dumps([key.encode() for key in infos]))


def test_regions_have_their_boxes_and_words_none(tmp_path):
    detected = {"bbox": boxes(3), "image_width": WIDTH, "image_height": HEIGHT, "objects": np.array([4, 5, 6])}
    mmf_lmdb(tmp_path / "f.lmdb", {"train/a.b": detected, "train/words": {"image_width": None}, "train/z": None})
    store, summary = imported("mmf-lmdb", tmp_path / "f.lmdb", tmp_path / "store")
    assert list(store.keys()) == ["train/a.b", "train/words", "train/z"] and not summary.failures
    read = store.regions(0)
    assert np.array_equal(read.features, features(3, 0)) and np.array_equal(read.boxes, boxes(3))
    assert read.classes.tolist() == [4, 5, 6] and (read.width, read.height) == (WIDTH, HEIGHT)
    words = store.regions(1)
    assert np.array_equal(words.features, features(3, 1)) and not words.boxes.any() and words.width == 0


@pytest.mark.parametrize(("info", "words"), [
    ({"bbox": boxes(2), "image_width": 9, "image_height": 9}, "not 3 rows"),
    ({"bbox": boxes(3)}, "has no image_width"),
])
def test_damaged_entries_are_counted(tmp_path, info, words):
    mmf_lmdb(tmp_path / "f.lmdb", {"a": None, "b": info})
    _, summary = imported("mmf-lmdb", tmp_path / "f.lmdb", tmp_path / "store")
    assert summary.stored == 1 and words in summary.failures[0]["reason"]
