import base64

import h5py
import numpy as np
import pytest

from features.errors import HeedError
from pipeline.importer import open_import
from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported


def b64(array, dtype):
    return base64.b64encode(np.asarray(array, dtype).tobytes()).decode()


def line(key, n, seed, wrap="{}", more=True):
    """One line as e-bug/volta's extraction writes it."""
    ids, scores = np.arange(n), np.ones(n)
    four = [b64(ids, "<i8"), b64(scores / 2, "<f4"), b64(ids + 5, "<i8"), b64(scores / 4, "<f4")]
    two = [b64(boxes(n, seed), "<f4"), b64(features(n, seed), "<f4")]
    ten = [key, str(HEIGHT), str(WIDTH), *map(wrap.format, four), str(n), *map(wrap.format, two)]
    probabilities = [b64(np.zeros((n, 1601)), "<f4"), b64(np.zeros((n, 401)), "<f4"), b64(np.zeros((n, 1601)), "<f4")]
    return "\t".join(ten + (probabilities if more else []))


def check(read, n, seed):
    assert (read.width, read.height) == (WIDTH, HEIGHT)
    assert np.array_equal(read.boxes, boxes(n, seed)) and np.array_equal(read.features, features(n, seed))
    assert read.classes.tolist() == list(range(n)) and read.attributes[:, 0].tolist() == list(range(5, 5 + n))
    assert np.allclose(read.class_scores, 0.5) and np.allclose(read.attribute_scores, 0.25)


@pytest.mark.parametrize(("wrap", "more", "end"), [("{}", True, "\r\n"), ("b'{}'", True, "\n"), ("{}", False, "\n")])
def test_tsv_with_and_without_the_three_trailing_columns(tmp_path, wrap, more, end):
    path = tmp_path / "train2014_obj36-36.tsv"
    path.write_bytes("".join(line(f"COCO_{i}", 3 + i, i, wrap, more) + end for i in range(3)).encode())
    store, summary = imported("volta-tsv", path, tmp_path / "store")
    assert list(store.keys()) == ["COCO_0", "COCO_1", "COCO_2"] and not summary.failures
    for i in range(3):
        check(store.regions(i), 3 + i, i)


def test_tsv_cut_in_its_last_line_is_a_counted_failure(tmp_path):
    path = tmp_path / "f.tsv"
    whole = line("0", 3, 0) + "\n" + line("1", 3, 1)
    path.write_text(whole[:-len(line("1", 3, 1)) // 2])
    store, summary = imported("volta-tsv", path, tmp_path / "store")
    assert len(store) == 1 and [failure["key"] for failure in summary.failures] == ["1"]


def hdf5(path, count=3, **changes):
    """A file as e-bug/volta's large_tsv_to_h5.py writes it."""
    with h5py.File(path, "w") as file:
        for i in range(count):
            n = 3 + i
            arrays = {
                "features": features(n, i), "obj_id": np.arange(n), "obj_conf": np.ones(n, "f4") / 2,
                "attr_id": np.arange(n) + 5, "attr_conf": np.ones(n, "f4") / 4, "boxes": boxes(n, i),
                "img_w": WIDTH, "img_h": HEIGHT,
            }
            group = file.create_group(f"COCO_train2014_{i:012d}")
            for name, value in {**arrays, **(changes if i == 1 else {})}.items():
                if value is not None:
                    group[name] = value
    return path


def test_hdf5(tmp_path):
    store, summary = imported("volta-h5", hdf5(tmp_path / "f.h5"), tmp_path / "store")
    assert list(store.keys()) == [f"COCO_train2014_{i:012d}" for i in range(3)] and not summary.failures
    for i in range(3):
        check(store.regions(i), 3 + i, i)


def test_hdf5_with_sizes_as_attributes_and_keys_with_slashes(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = file.create_group("val/a.b/1.jpg")
        group["features"], group["boxes"] = features(3), boxes(3)
        group.attrs["img_w"], group.attrs["img_h"] = WIDTH, np.array([HEIGHT])
        file.create_group("val/empty")
    store, summary = imported("volta-h5", tmp_path / "f.h5", tmp_path / "store")
    assert list(store.keys()) == ["val/a.b/1.jpg"] and store.regions(0).classes.tolist() == [-1] * 3
    assert summary.failures == [{"key": "val/empty", "reason": "has no boxes"}]


@pytest.mark.parametrize(("changes", "words"), [
    ({"boxes": None}, "has no boxes"), ({"img_w": None}, "has no img_w"),
    ({"boxes": boxes(3)}, "where there are 3 boxes"), ({"boxes": boxes(4)[:, :3]}, "not 4 rows of 4"),
    ({"features": h5py.SoftLink("/COCO_train2014_000000000000/features")}, "is a link"),
    ({"features": h5py.ExternalLink("other.h5", "/x")}, "is a link"), ({"obj_id": np.arange(2)}, "not 4 numbers"),
    ({"features": "text"}, "no array of numbers"), ({"img_h": 5}, "outside its image"),
])
def test_damaged_groups_are_counted_with_reasons(tmp_path, changes, words):
    _, summary = imported("volta-h5", hdf5(tmp_path / "f.h5", **changes), tmp_path / "store")
    assert summary.stored == 2 and words in summary.failures[0]["reason"]


def test_a_dataset_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    path = hdf5(tmp_path / "f.h5", features=None)
    with h5py.File(path, "a") as file:
        file["COCO_train2014_000000000001"].create_dataset("features", (1 << 30, 2048), "f4", chunks=(1024, 2048))
    _, summary = imported("volta-h5", path, tmp_path / "store")
    assert "more than its 0 stored bytes can hold" in summary.failures[0]["reason"]


def test_a_dataset_stored_in_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(1000))
    path = hdf5(tmp_path / "f.h5", features=None)
    with h5py.File(path, "a") as file:
        file["COCO_train2014_000000000001"].create_dataset("features", (4, 6), "f4", external=[("secret", 0, 96)])
    _, summary = imported("volta-h5", path, tmp_path / "store")
    assert "lies in another file" in summary.failures[0]["reason"]


def test_a_cut_hdf5_file_is_refused(tmp_path):
    path = hdf5(tmp_path / "f.h5")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HeedError, match="no whole HDF5 file"):
        open_import("volta-h5", path, "float32")


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "f.h5").write_bytes(b"x")
    with pytest.raises(HeedError, match=r"h5py.*heed\[exchange\]"):
        open_import("volta-h5", tmp_path / "f.h5", "float32")
