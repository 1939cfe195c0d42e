import os

import numpy as np
import pytest

from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported


def save(path, n, seed=0, **changes):
    """A file as MILVLG's extract_features.py writes it."""
    info = {"image_id": path.stem, "image_h": HEIGHT, "image_w": WIDTH, "num_boxes": n, "objects_id": np.arange(n),
            "objects_conf": np.ones(n, "f4") / 2, "attrs_id": np.arange(n) + 5, "attrs_conf": np.ones(n, "f4") / 4}
    arrays = {"x": features(n, seed), "bbox": boxes(n, seed), "num_bbox": n, "image_h": HEIGHT, "image_w": WIDTH,
              "info": info, **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{name: value for name, value in arrays.items() if value is not None})


def check(read, n, seed=0):
    assert (read.width, read.height) == (WIDTH, HEIGHT)
    assert np.array_equal(read.boxes, boxes(n, seed)) and np.array_equal(read.features, features(n, seed))


def test_a_folder_with_info_through_the_restricted_unpickler(tmp_path):
    for i in range(3):
        save(tmp_path / "npz" / f"COCO_val2014.{i}.npz", 3 + i, i)
    store, summary = imported("milvlg-npz", tmp_path / "npz", tmp_path / "store")
    assert list(store.keys()) == [f"COCO_val2014.{i}" for i in range(3)] and not summary.failures
    for i in range(3):
        check(store.regions(i), 3 + i, i)
    read = store.regions(2)
    assert read.classes.tolist() == [0, 1, 2, 3, 4] and read.attributes[:, 0].tolist() == [5, 6, 7, 8, 9]
    assert np.allclose(read.class_scores, 0.5) and np.allclose(read.attribute_scores, 0.25)


def test_both_orientations_of_x(tmp_path):
    save(tmp_path / "npz" / "rows.npz", 4, 4)
    save(tmp_path / "npz" / "columns.npz", 3, 3, x=features(3, 3).T)
    save(tmp_path / "npz" / "square.npz", 6, 6)  # 6 boxes of 6 numbers: rows are regions
    store, _ = imported("milvlg-npz", tmp_path / "npz", tmp_path / "store")
    for key, n in (("rows", 4), ("columns", 3), ("square", 6)):
        check(store.regions(store.find(key)), n, n)


def test_without_info_classes_and_attributes_are_unknown(tmp_path):
    save(tmp_path / "npz" / "a.npz", 3, info=None)
    read = imported("milvlg-npz", tmp_path / "npz", tmp_path / "store")[0].regions(0)
    assert read.classes.tolist() == [-1] * 3 and read.attributes.shape == (3, 0)


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


@pytest.mark.parametrize(("changes", "words"), [
    ({"x": None, "info": None}, "heed extract regions"), ({"bbox": None}, "has no bbox"),
    ({"num_bbox": 4}, "not 4 rows of 4"), ({"bbox": boxes(3).reshape(4, 3)}, "not 3 rows of 4"),
    ({"x": features(4)}, "where there are 3 boxes"), ({"info": Attack()}, "posix.system"),
    ({"info": {"objects_id": Attack()}}, "posix.system"), ({"info": {"objects_id": "x"}}, "str, not an array"),
    ({"x": np.array([Attack()])}, "pickled objects"), ({"image_w": 5}, "outside its image"),
    ({"bbox": boxes(3)[:, [2, 1, 0, 3]]}, "inverted"),
])
def test_other_files_are_counted_with_reasons(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "npz" / "a.npz", 3)
    save(tmp_path / "npz" / "b.npz", 3, **changes)
    _, summary = imported("milvlg-npz", tmp_path / "npz", tmp_path / "store")
    assert summary.stored == 1 and words in summary.failures[0]["reason"]
    assert not (tmp_path / "attacked").exists()


def test_a_cut_file_is_a_counted_failure(tmp_path):
    save(tmp_path / "npz" / "a.npz", 3)
    save(tmp_path / "npz" / "b.npz", 3)
    data = (tmp_path / "npz" / "b.npz").read_bytes()
    (tmp_path / "npz" / "b.npz").write_bytes(data[:len(data) // 2])
    _, summary = imported("milvlg-npz", tmp_path / "npz", tmp_path / "store")
    assert "no whole .npz" in summary.failures[0]["reason"]
