import io
import tarfile
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.fields import Field
from pipeline.shards import FORMATS, open_shard, shard_format
from tests.pipeline.tars.made import made_tar

FIELDS = {
    "key": Field("string"), "width": Field("int32"), "boxes": Field("float32", (None, 4)),
    "features": Field("float16", (None, 3)), "classes": Field("int32", (None,)), "mean": Field("float32", (2,)),
    "grid": Field("int8", (None, 2, 2)), "jpeg": Field("bytes"),
    "png": Field("bytes", (None,)),
}


def make_rows(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [{
        "key": f"dir/{i}.a.jpg", "width": int(rng.integers(1, 999)),
        "boxes": rng.normal(size=(n, 4)).astype(np.float32),
        "features": rng.normal(size=(n, 3)).astype(np.float16), "classes": rng.integers(0, 9, n).astype(np.int32),
        "mean": rng.normal(size=2).astype(np.float32), "grid": rng.integers(-9, 9, (n, 2, 2)).astype(np.int8),
        "jpeg": rng.bytes(n + 1), "png": [rng.bytes(k % 5) for k in range(n)],
    } for i, n in enumerate(lengths)]


class Trap:
    def __reduce__(self):
        return print, ("unpickled",)


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
            if field.dtype == "bytes":
                assert read[name] == row[name] if not field.shape else list(read[name]) == row[name]
            elif field.shape:
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


def test_a_tar_row_is_a_view_and_reading_rows_keeps_nothing(tmp_path):
    path, rows = tmp_path / "s.tar", make_rows([200] * 20)
    path.write_bytes(written(rows, "webdataset"))
    shard = open_shard(path, "webdataset", FIELDS)
    shard.array(0, "features")
    tracemalloc.start()
    total = sum(shard.array(i, "features").sum(dtype=np.float64) for i in range(len(shard)))
    assert tracemalloc.get_traced_memory()[0] < 10_000  # the features are 24,000 bytes
    tracemalloc.stop()
    assert total == sum(row["features"].sum(dtype=np.float64) for row in rows)
    assert not shard.array(0, "features").flags.writeable


@pytest.mark.parametrize("format_name", FORMATS)
def test_one_rows_value_and_all_lengths_are_told_without_reading_the_rest(format_name, tmp_path):
    path, rows = tmp_path / "s", make_rows([2, 0, 3])
    path.write_bytes(written(rows, format_name))
    shard = open_shard(path, format_name, FIELDS)
    assert shard.lengths("features").tolist() == shard.lengths("grid").tolist() == [2, 0, 3]
    for i, row in enumerate(rows):
        for name in ("features", "grid", "mean", "classes"):
            assert np.array_equal(shard.array(i, name), row[name]) and shard.array(i, name).dtype == row[name].dtype
        assert shard.array(i, "width") == row["width"]
    with pytest.raises(HeedError, match="one size in every row"):
        shard.lengths("mean")
    with pytest.raises(HeedError, match="no numbers"):
        shard.array(0, "jpeg")


def tar_with(path, changes):
    """A shard of one row with members replaced, or left out where the content is None."""
    with tarfile.open(fileobj=io.BytesIO(written(make_rows([2]), "webdataset"))) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    path.write_bytes(made_tar([(name, data) for name, data in {**members, **changes}.items() if data is not None]))
    return path


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY\x01\x00", npy(np.zeros((2, 3), np.float32)), npy(np.zeros((2, 4), np.float16)),
    npy(np.zeros((2, 3), np.float16))[:-1], npy(np.asfortranarray(np.ones((2, 3), np.float16))),
    npy(np.array([[Trap()] * 3] * 2, object)), npy(np.zeros((2, 3), np.float16)).replace(b"(2, 3)", b"(2e9,"),
    npy(np.zeros((2, 3), np.float16)).replace(b"(2, 3), }    ", b"(2, 300000), ")])
def test_a_tars_array_that_is_not_what_the_store_says_is_refused_by_name(tmp_path, content):
    shard = open_shard(tar_with(tmp_path / "7.tar", {"000000000.features.npy": content}), "webdataset", FIELDS)
    with pytest.raises(HeedError, match=r"7\.tar: member 000000000\.features\.npy is damaged"):
        shard.array(0, "features")


def test_a_tar_that_lacks_a_member_or_a_value_is_refused_by_name(tmp_path):
    for name in ("000000000.features.npy", "000000000.jpeg"):
        with pytest.raises(HeedError, match=rf"7\.tar lacks the member {name}"):
            open_shard(tar_with(tmp_path / "7.tar", {name: None}), "webdataset", FIELDS)
    for content in (b"{", b"[]", b'{"width": 3}', b"\xff"):
        shard = open_shard(tar_with(tmp_path / "7.tar", {"000000000.json": content}), "webdataset", FIELDS)
        with pytest.raises(HeedError, match=r"7\.tar: member 000000000\.json is damaged"):
            shard.key(0)


def test_tar_shards_open_in_plain_webdataset(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    rows = make_rows([2, 3])
    path = tmp_path / "s.tar"
    path.write_bytes(written(rows, "webdataset"))
    read = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
    assert [sample["json"]["key"] for sample in read] == ["dir/0.a.jpg", "dir/1.a.jpg"]
    assert np.array_equal(read[1]["features.npy"], rows[1]["features"])
    assert [read[1][f"{number:06d}.png"] for number in range(3)] == rows[1]["png"]


def test_a_value_of_the_wrong_shape_is_refused():
    row = make_rows([2])[0]
    row["features"] = row["features"][:, :2]
    with pytest.raises(HeedError, match="'features' has shape"):
        written([row], "arrow")
