import numpy as np
import pyarrow as pa
import pytest

from evaluation.detections import read_detections, write_detections
from features.errors import HeedError
from features.regions import Regions


def regions(count):
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + 9], 1).astype(np.float32)
    return Regions(boxes, np.zeros((count, 7), np.float32), rng.integers(0, 5, count).astype(np.int32),
                   rng.random(count, np.float32), rng.integers(0, 5, (count, 3)).astype(np.int32),
                   rng.random((count, 3), np.float32), 80, 60)


def test_what_is_written_is_read(tmp_path):
    found = {"b.png": regions(4), "a/ü.png": regions(0), "c.png": regions(1)}
    write_detections(tmp_path / "d.arrow", found.items())
    again = read_detections(tmp_path / "d.arrow")
    assert list(again) == list(found)
    for key, one in found.items():
        for name in ("boxes", "classes", "class_scores"):
            np.testing.assert_array_equal(getattr(again[key], name), getattr(one, name))
        assert again[key].attributes.tolist() == one.attributes.tolist()
        assert (again[key].width, again[key].height) == (80, 60)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "text").write_text("no table")
    with pytest.raises(HeedError, match="not a whole Arrow file"):
        read_detections(tmp_path / "text")
    table = pa.table({"image": ["a"]})
    with pa.OSFile(str(tmp_path / "other"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(HeedError, match="not a file of detections of heed: column 'boxes' is missing"):
        read_detections(tmp_path / "other")
