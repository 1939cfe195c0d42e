import json

import numpy as np
import pytest

import heed
from features.errors import HeedError
from pipeline import side_by_side
from pipeline.index import INDEX_FILE, Index
from pipeline.job import run_job
from pipeline.store import Store
from tests.pipeline.toy import Toy, toy_regions, toy_source


@pytest.fixture
def store(tmp_path):
    run_job(Toy(), toy_source(tmp_path / "in", 23, bad=[4]), tmp_path / "store", shard_rows=10, inline=True)
    return Store.open(tmp_path / "store")


def test_every_input_is_found_by_its_whole_key(store):
    assert len(store) == 22
    for number in range(23):
        row = store.find(f"a.b/{number:04d}.bin")
        if number == 4:
            assert row is None
            continue
        expected = toy_regions(f"input {number}".encode())
        read = store.regions(row)
        assert np.array_equal(read.boxes, expected.boxes)
        assert np.array_equal(read.features, expected.features.astype(np.float16))
        assert np.array_equal(read.attributes, expected.attributes)
        assert (read.width, read.height) == (64, 64)
    assert store.find("a.b/0023.bin") is None and store.find("a") is None


def test_failures_are_kept_with_their_reasons(store):
    assert store.failures() == [{"key": "a.b/0004.bin", "reason": "is bad"}]


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_batch_is_the_same_in_how_many_threads_it_is_copied(tmp_path, monkeypatch, dtype):
    run_job(Toy(), toy_source(tmp_path / "in", 23), tmp_path / "made", shard_rows=10, inline=True)
    assert heed.main(["store", "convert", str(tmp_path / "made"), str(tmp_path / "store"), "--dtype", dtype]) == 0
    store, rows = Store.open(tmp_path / "store"), np.random.default_rng(0).integers(23, size=500)
    alone, lengths = store.gather("features", rows)
    monkeypatch.setattr(side_by_side, "threads", lambda: 4)
    monkeypatch.setattr(side_by_side, "LEAST", 1)
    asked, pool = [], side_by_side._pool
    monkeypatch.setattr(side_by_side, "_pool", lambda owner: asked.append(owner) or pool(owner))
    together, same = store.gather("features", rows)
    assert asked and np.array_equal(alone, together) and np.array_equal(lengths, same) and alone.any()


def test_gather_pads_with_zeros_and_keeps_order(store):
    rows = [21, 0, 7, 7]
    values, lengths = store.gather("features", rows)
    assert values.dtype == np.float16 and values.shape == (4, lengths.max(), 8)
    for slot, length, row in zip(values, lengths, rows, strict=True):
        assert np.array_equal(slot[:length], store.row(row)["features"]) and not slot[length:].any()


@pytest.mark.parametrize("row", [-1, 22])
def test_a_row_that_is_not_there_is_refused(store, row):
    with pytest.raises(HeedError, match="22 rows"):
        store.row(row)
    with pytest.raises(HeedError, match="22 rows"):
        store.gather("features", [0, row])


def test_a_shard_of_another_size_than_its_record_is_refused_by_name(store):
    path = store.shard_path(1)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(HeedError, match=r"000001\.arrow has \d+ bytes where its record says"):
        Store.open(store.path).row(15)


def test_a_shard_without_a_record_does_not_exist(store):
    store.shard_path(2).with_suffix(".json").unlink()
    with pytest.raises(HeedError, match="2 of 3 shards are committed"):
        Store.open(store.path)
    assert len(Store.open(store.path, partial=True)) == 19


def test_a_store_of_a_later_schema_is_refused_politely(store):
    path = store.path / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "heed_store": 99}))
    with pytest.raises(HeedError, match=r"schema 99.*Update heed"):
        Store.open(store.path)


def test_a_folder_that_is_no_store_says_so_and_names_a_near_one(store):
    with pytest.raises(HeedError, match=r"is not a store.*Did you mean .*store"):
        Store.open(store.path.with_name("stroe"))


@pytest.mark.parametrize("damage", ["missing", "garbage", "stale"])
def test_a_missing_damaged_or_stale_index_is_rebuilt_in_memory(store, damage):
    path = store.path / INDEX_FILE
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"garbage")
    else:
        Index.build(["other"]).write(store.path, "another fingerprint")
    assert Store.open(store.path).find("a.b/0022.bin") == 21


def test_hash_collisions_are_told_apart_by_the_key(monkeypatch):
    monkeypatch.setattr("pipeline.index.key_hash", lambda key: 7)
    index = Index.build(["a", "b", "c"])
    assert sorted(index.candidates("b").tolist()) == [0, 1, 2]
