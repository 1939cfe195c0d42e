import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.fields import Field
from pipeline.shards import FORMATS, open_shard, shard_format

FIELDS = {
    "key": Field("string"), "width": Field("int32"), "boxes": Field("float32", (None, 4)),
    "features": Field("float16", (None, 3)), "classes": Field("int32", (None,)), "mean": Field("float32", (2,)),
    "grid": Field("int8", (None, 2, 2)), "jpeg": Field("bytes"),
}


def make_rows(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [{
        "key": f"dir/{i}.a.jpg", "width": int(rng.integers(1, 999)),
        "boxes": rng.normal(size=(n, 4)).astype(np.float32),
        "features": rng.normal(size=(n, 3)).astype(np.float16), "classes": rng.integers(0, 9, n).astype(np.int32),
        "mean": rng.normal(size=2).astype(np.float32), "grid": rng.integers(-9, 9, (n, 2, 2)).astype(np.int8),
        "jpeg": rng.bytes(n + 1),
    } for i, n in enumerate(lengths)]


def written(rows, format_name):
    file = io.BytesIO()
    shard_format(format_name).write(file, rows, FIELDS)
    return file.getvalue()


@pytest.mark.parametrize("format_name", FORMATS)
@given(lengths=st.lists(st.integers(0, 5), max_size=6))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read_back_bit_for_bit(format_name, lengths, tmp_path_factory):
    path = tmp_path_factory.mktemp("shard") / "s"
    rows = make_rows(lengths)
    path.write_bytes(written(rows, format_name))
    shard = open_shard(path, format_name, FIELDS)
    assert len(shard) == len(rows) and shard.keys() == [row["key"] for row in rows]
    for i, row in enumerate(rows):
        read = shard.row(i)
        assert shard.key(i) == row["key"] and set(read) == set(FIELDS)
        for name, field in FIELDS.items():
            if field.shape:
                assert read[name].dtype == field.dtype and read[name].shape == row[name].shape
                assert np.array_equal(read[name], row[name])
            else:
                assert read[name] == row[name]
    for name in ("features", "classes", "grid"):
        column = shard.column(name)
        assert list(np.diff(column.offsets)) == lengths
        whole = np.concatenate([row[name] for row in rows]) if rows else np.zeros((0, *FIELDS[name].inner))
        assert np.array_equal(column.values, whole)


@pytest.mark.parametrize("format_name", FORMATS)
def test_same_rows_give_same_bytes(format_name):
    assert written(make_rows([2, 0, 3]), format_name) == written(make_rows([2, 0, 3]), format_name)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_truncated_shard_is_refused_by_name(format_name, tmp_path):
    path = tmp_path / "000007.shard"
    data = written(make_rows([2, 3]), format_name)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(HeedError, match=r"000007\.shard"):
        open_shard(path, format_name, FIELDS)


def test_arrow_shards_open_in_plain_pyarrow(tmp_path):
    rows = make_rows([2, 3])
    path = tmp_path / "s.arrow"
    path.write_bytes(written(rows, "arrow"))
    table = pa.ipc.open_file(path).read_all()
    assert table["key"].to_pylist() == ["dir/0.a.jpg", "dir/1.a.jpg"]
    assert np.array_equal(np.array(table["boxes"][1].as_py(), np.float32), rows[1]["boxes"])


def test_an_arrow_row_is_a_view_not_a_copy(tmp_path):
    path = tmp_path / "s.arrow"
    path.write_bytes(written(make_rows([2, 3]), "arrow"))
    shard = open_shard(path, "arrow", FIELDS)
    assert shard.row(1)["features"].base is not None
    assert np.shares_memory(shard.row(1)["features"], shard.column("features").values)


def test_tar_shards_open_in_plain_webdataset(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    rows = make_rows([2, 3])
    path = tmp_path / "s.tar"
    path.write_bytes(written(rows, "webdataset"))
    read = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
    assert [sample["json"]["key"] for sample in read] == ["dir/0.a.jpg", "dir/1.a.jpg"]
    assert np.array_equal(read[1]["features.npy"], rows[1]["features"])


def test_a_value_of_the_wrong_shape_is_refused():
    row = make_rows([2])[0]
    row["features"] = row["features"][:, :2]
    with pytest.raises(HeedError, match="'features' has shape"):
        written([row], "arrow")
