import base64
import os
import pickle

import lmdb
import numpy as np
import pytest

from features.errors import HeedError
from pipeline.importer import open_import
from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported


def arrays(n, seed=0):
    """As facebookresearch/vilbert-multi-task writes an entry."""
    return {"image_id": str(seed), "image_h": HEIGHT, "image_w": WIDTH, "num_boxes": n, "boxes": boxes(n, seed),
            "features": features(n, seed)}


def b64(array, dtype):
    return base64.b64encode(np.asarray(array, dtype).tobytes()).decode()


def volta_text(n, seed=0, wrap="{}"):
    """As e-bug/volta pickles a row of csv.DictReader: every value is text."""
    return {"img_id": str(seed), "img_h": str(HEIGHT), "img_w": str(WIDTH), "num_boxes": str(n),
            "objects_id": wrap.format(b64(np.arange(n), "<i8")),
            "objects_conf": wrap.format(b64(np.ones(n) / 2, "<f4")),
            "attrs_id": wrap.format(b64(np.arange(n) + 5, "<i8")),
            "attrs_conf": wrap.format(b64(np.ones(n) / 4, "<f4")),
            "boxes": wrap.format(b64(boxes(n, seed), "<f4")), "features": wrap.format(b64(features(n, seed), "<f4")),
            "cls_prob": "", "attrs": "", "classes": ""}


def database(path, entries, keys=None, protocol=None):
    with lmdb.open(str(path), map_size=1 << 26) as env, env.begin(write=True) as txn:
        for key, value in entries.items():
            txn.put(key.encode(), value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        txn.put(b"keys", pickle.dumps([key.encode() for key in entries] if keys is None else keys, protocol))
    return path


def check(read, n, seed):
    assert np.array_equal(read.boxes, boxes(n, seed)) and np.array_equal(read.features, features(n, seed))
    assert (read.width, read.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_arrays(tmp_path, protocol):
    path = database(tmp_path / "coco.lmdb", {str(9 - i): arrays(3 + i, i) for i in range(3)}, protocol=protocol)
    store, summary = imported("vilbert-lmdb", path, tmp_path / "store")
    assert list(store.keys()) == ["7", "8", "9"] and not summary.failures
    for i in range(3):
        check(store.regions(store.find(str(9 - i))), 3 + i, i)
    assert store.regions(0).classes.tolist() == [-1] * 5


@pytest.mark.parametrize("wrap", ["{}", "b'{}'"])
def test_text_of_a_tsv_in_base64(tmp_path, wrap):
    path = database(tmp_path / "volta.lmdb", {"1": volta_text(3, 1, wrap)})
    read = imported("vilbert-lmdb", path, tmp_path / "store")[0].regions(0)
    check(read, 3, 1)
    assert read.classes.tolist() == [0, 1, 2] and read.attributes.tolist() == [[5], [6], [7]]
    assert np.allclose(read.class_scores, 0.5) and np.allclose(read.attribute_scores, 0.25)


def test_arrays_under_the_names_of_voltas_hdf5_have_no_count(tmp_path):
    entry = {"img_id": "1", "img_h": np.int64(HEIGHT), "img_w": np.int64(WIDTH), "boxes": boxes(3),
             "features": features(3), "obj_id": np.arange(3), "obj_conf": np.ones(3, "f4")}
    read = imported("vilbert-lmdb", database(tmp_path / "l", {"1": entry}), tmp_path / "store")[0].regions(0)
    check(read, 3, 0)
    assert read.classes.tolist() == [0, 1, 2]


def test_flat_features_of_m4c_and_class_probabilities(tmp_path):
    probabilities = np.zeros((3, 10), "f4")
    probabilities[[0, 1, 2], [4, 1, 0]] = 0.6
    entry = {**arrays(3), "features": features(3).reshape(-1), "cls_prob": probabilities}
    read = imported("vilbert-lmdb", database(tmp_path / "l", {"1": entry}), tmp_path / "store")[0].regions(0)
    check(read, 3, 0)
    assert read.classes.tolist() == [3, 0, -1] and np.allclose(read.class_scores, [0.6, 0.6, 0])


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_a_pickle_that_calls_is_a_counted_failure_and_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = database(tmp_path / "l", {"1": arrays(3), "2": {**arrays(3), "boxes": Attack()}})
    _, summary = imported("vilbert-lmdb", path, tmp_path / "store")
    assert "posix.system" in summary.failures[0]["reason"] and not (tmp_path / "attacked").exists()
    database(tmp_path / "m", {"1": arrays(3)}, keys=Attack())
    with pytest.raises(HeedError, match=r"'keys' cannot be read: .*posix\.system"):
        open_import("vilbert-lmdb", tmp_path / "m", "float32")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(("change", "words"), [
    ({"num_boxes": 4}, "12 numbers where 4 boxes need 16"), ({"image_h": "x"}, "image_h is 'x'"),
    ({"boxes": None}, "neither an array nor base64"), ({"image_w": 10}, "outside its image"),
    ({"features": features(3)[:, :-1]}, "each region has 5 features where the store holds 6"),
    ({"features": np.zeros((2, 7), "f4")}, "not 3 rows"), ({"boxes": "!"}, "not base64"),
    ({"features": features(3) * np.nan}, "NaN"), ({"objects_id": np.arange(2)}, "not 3 numbers"),
])
def test_damaged_entries_are_counted_with_reasons(tmp_path, change, words):
    path = database(tmp_path / "l", {"0": arrays(3), "1": {**arrays(3), **change}, "2": pickle.dumps(arrays(3))[:-30]})
    store, summary = imported("vilbert-lmdb", path, tmp_path / "store")
    assert len(store) == 1 and words in summary.failures[0]["reason"]
    assert "damaged" in summary.failures[1]["reason"]


def test_ids_of_the_key_list_that_are_not_there_are_counted(tmp_path):
    path = database(tmp_path / "l", {"1": arrays(3)}, keys=[b"1", b"2"])
    _, summary = imported("vilbert-lmdb", path, tmp_path / "store")
    assert [failure["key"] for failure in summary.failures] == ["2"]
