"""Other programs, as they are, read what heed writes."""

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest

from tests.pipeline.rows_store import MIXED, mixed_rows, rows_store

ROWS = mixed_rows([f"dir.a/v{i}.mp4" for i in range(9)])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    store = rows_store(tmp_path_factory.mktemp("arrow") / "store", ROWS, MIXED)
    return [str(store.shard_path(position)) for position in range(len(store.records))]


def assert_equal(read, row):
    assert set(read) == set(row)
    for name, value in row.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(np.array(read[name], value.dtype).reshape(value.shape), value)
        else:
            assert read[name] == value


def test_pyarrow_reads_the_shards_as_one_table(shards):
    for table in (pa.concat_tables(pa.ipc.open_file(pa.memory_map(path)).read_all() for path in shards),
                  pyarrow.dataset.dataset(shards, format="ipc").to_table()):
        for read, row in zip(table.to_pylist(), ROWS, strict=True):
            assert_equal(read, row)
    folder = shards[0].rpartition("/")[0]
    assert pyarrow.dataset.dataset(folder, format="ipc", exclude_invalid_files=True).count_rows() == len(ROWS)


def test_pyarrow_gives_features_without_a_copy(shards):
    before = pa.total_allocated_bytes()
    table = pa.ipc.open_file(pa.memory_map(shards[1])).read_all()
    values = table["features"].chunk(0)[2].values.flatten()
    assert pa.total_allocated_bytes() - before < values.nbytes
    assert np.array_equal(np.array(values, np.float16).reshape(-1, 3), ROWS[6]["features"])


def test_hugging_face_datasets_loads_the_shards_whole_or_streamed(shards, tmp_path):
    datasets = pytest.importorskip("datasets")
    pattern = f"{shards[0].rpartition('/')[0]}/*.arrow"
    whole = datasets.load_dataset("arrow", data_files=pattern, split="train", cache_dir=str(tmp_path))
    streamed = datasets.load_dataset("arrow", data_files=shards, split="train", streaming=True)
    assert whole.features["features"] == datasets.List(datasets.List(datasets.Value("float16"), length=3))
    for read in (whole, streamed):
        for one, row in zip(read, ROWS, strict=True):
            assert_equal(one, row)
    assert np.array_equal(whole.with_format("numpy")[5]["features"], ROWS[5]["features"])


def test_hugging_face_datasets_takes_mapped_shards_without_writing_a_copy(shards):
    datasets = pytest.importorskip("datasets")
    table = pa.concat_tables(pa.ipc.open_file(pa.memory_map(path)).read_all() for path in shards)
    mapped = datasets.Dataset(datasets.table.InMemoryTable(table))
    for read, row in zip(mapped, ROWS, strict=True):
        assert_equal(read, row)


@pytest.mark.parametrize("indexed", [True, False])
def test_webdataset_reads_the_tars_and_so_does_heed_with_an_index_or_without(tmp_path, indexed):
    webdataset = pytest.importorskip("webdataset")
    store = rows_store(tmp_path / "store", ROWS, MIXED, format="webdataset")
    if not indexed:
        (tmp_path / "store" / "index.arrow").unlink()
    shards = [str(store.shard_path(position)) for position in range(len(store.records))]
    read = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    for number, (one, row) in enumerate(zip(read, ROWS, strict=True)):
        own = {"key": one["json"]["key"], "duration": one["json"]["duration"], "title": one["json"]["title"],
               "jpeg": one["jpeg"], **{name: one[f"{name}.npy"] for name in ("features", "spans", "mean")}}
        assert_equal(own, row)
        assert one["features.npy"].dtype == np.float16
        assert store.find(row["key"]) == number
        assert_equal(store.row(number), row)
