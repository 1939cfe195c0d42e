import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import HeedError
from pipeline.importer import open_import
from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported, round_trip


def hdf5(path, entries):
    with h5py.File(path, "w") as file:
        for key, values in entries.items():
            group = file.create_group(key)
            for name, value in values.items():
                if np.ndim(value):
                    group.create_dataset(name, data=value, compression="gzip")
                else:
                    group.attrs[name] = value
    return path


def parquet(path, entries):
    """As another program would write it: lists of lists of doubles, and a column heed does not know."""
    rows = [{"key": key, "url": "http://…", **{n: np.asarray(v).tolist() for n, v in values.items()}}
            for key, values in entries.items()]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


WRITERS = {"h5": hdf5, "parquet": parquet}


def region(n, seed=0, **more):
    return {"features": features(n, seed), "boxes": boxes(n, seed), "width": WIDTH, "height": HEIGHT, **more}


@pytest.mark.parametrize("name", WRITERS)
def test_regions_need_four_names_only(tmp_path, name):
    path = WRITERS[name](tmp_path / "f", {f"a/{i}.jpg": region(3 + i, i) for i in range(5)})
    store, summary = imported(name, path, tmp_path / "store")
    assert list(store.keys()) == [f"a/{i}.jpg" for i in range(5)] and not summary.failures
    for i in range(5):
        read = store.regions(i)
        assert np.array_equal(read.boxes, boxes(3 + i, i)) and np.array_equal(read.features, features(3 + i, i))
        assert (read.width, read.height) == (WIDTH, HEIGHT) and read.classes.tolist() == [-1] * (3 + i)


@pytest.mark.parametrize("name", WRITERS)
def test_regions_may_have_classes_and_attributes(tmp_path, name):
    more = {"classes": np.arange(3), "class_scores": np.ones(3) / 2, "attributes": np.arange(6).reshape(3, 2),
            "attribute_scores": np.ones((3, 2)) / 4}
    read = imported(name, WRITERS[name](tmp_path / "f", {"a": region(3, **more)}), tmp_path / "s")[0].regions(0)
    assert read.classes.tolist() == [0, 1, 2] and read.attributes.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert np.allclose(read.class_scores, 0.5) and np.allclose(read.attribute_scores, 0.25)


@pytest.mark.parametrize("name", WRITERS)
def test_clips_come_back_from_a_round_trip(tmp_path, name):
    spans = np.array([[0, 1.5], [1.5, 4], [7, 8]])
    path = WRITERS[name](tmp_path / "f", {"v": {"features": features(3), "spans": spans, "duration": 9.5},
                                          "w": {"features": features(2), "spans": spans[:2]}})
    store, _ = imported(name, path, tmp_path / "store")
    assert store.identity.kind == "clips" and store.row(0)["spans"].tolist() == spans.tolist()
    assert [store.row(i)["duration"] for i in range(2)] == [9.5, 4]
    again = round_trip(name, tmp_path, "out", store)
    for i in range(2):
        assert again.row(i)["duration"] == store.row(i)["duration"]
        assert np.array_equal(again.row(i)["spans"], store.row(i)["spans"])
        assert np.array_equal(again.row(i)["features"], store.row(i)["features"].astype("f2"))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("values", "words"), [
    ({"features": features(3)}, "neither boxes"), (region(3, boxes=boxes(4)), "where there are 4 boxes"),
    ({"boxes": boxes(3), "width": 9, "height": 9}, "has no features"), (region(3, width=-1), "whole number"),
    ({"features": features(2), "spans": [[0, 1], [3, 2]]}, "ends before it starts"),
    ({"features": features(2), "spans": [[0, 1, 2], [3, 2, 2]]}, "not 2 rows of 2"),
    ({"features": features(1), "spans": [[0, 1]], "duration": -1.0}, "not finite"),
])
def test_damaged_entries_are_told(tmp_path, name, values, words):
    with pytest.raises(HeedError, match=words):
        open_import(name, WRITERS[name](tmp_path / "f", {"b": values}), "float32")


def test_parquet_is_read_in_any_order(tmp_path):
    from pipeline.exchange import plain_parquet

    path = parquet(tmp_path / "f", {str(i): region(2, i) for i in range(40)})
    items = list(plain_parquet.items(path))
    for i in (39, 3, 17, 17, 2, 38):
        assert np.array_equal(plain_parquet.read(items[i]).features, features(2, i))


@pytest.mark.parametrize(("rows", "words"), [
    ([{"key": "a", "features": [[1.0], [2.0, 3.0]]}], "several lengths"),
    ([{"key": None, "features": [[1.0]]}], "key None"),
    ([{"key": "a", "features": [["x"]]}], "string where numbers"), ([{"features": [[1.0]]}], "column key"),
    ([{"key": "a", "features": [[None]]}], "null where numbers"),
])
def test_parquet_of_other_content_is_told(tmp_path, rows, words):
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "f")
    with pytest.raises(HeedError, match=words):
        open_import("parquet", tmp_path / "f", "float32")
