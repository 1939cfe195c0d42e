from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from features.errors import HeedError
from pipeline import verify as module
from pipeline.identity import Identity, ShardRecord
from pipeline.index import INDEX_FILE, Index
from pipeline.job import run_job
from pipeline.shards import shard_format
from pipeline.store import Store, file_digest
from pipeline.verify import shard_number, strays, verify
from tests.pipeline.toy import Toy, toy_source


@pytest.fixture(params=["arrow", "webdataset"])
def store(tmp_path, request):
    source = toy_source(tmp_path / "in", 23, bad=[4])
    run_job(Toy(), source, tmp_path / "store", format=request.param, shard_rows=5, inline=True)
    return Store.open(tmp_path / "store")


def found(store, **options):
    return {part: problems for part, problems in verify(store.path, **options) if problems}


def rewrite(store, position, rows, failed=(), told=None):
    """A shard and a record that vouches for it, as a writer with a fault would have left them."""
    path = store.shard_path(position)
    with path.open("wb") as file:
        shard_format(store.identity.format).write(file, rows, store.identity.fields)
    record = ShardRecord(position, len(rows), path.stat().st_size, file_digest(path), list(failed))
    replace(record, rows=told or len(rows)).write(store.path, store.path)


def rows_of(store, position):
    shard = store.shard(position)
    return [{name: np.copy(value) if isinstance(value, np.ndarray) else value for name, value in shard.row(i).items()}
            for i in range(len(shard))]


def test_parts_come_in_plan_order_whatever_finishes_first(store):
    parts = [part for part, problems in verify(store.path) if not problems]
    assert parts == [*(f"shard {number:06d}" for number in range(5)), "inputs", "keys", "index"]
    assert [shard_number(part) for part in parts] == [0, 1, 2, 3, 4, None, None, None]
    assert [part for part, _ in verify(store.path, quick=True)] == parts[:5]


def test_many_shards_are_looked_at_a_few_at_a_time(tmp_path, monkeypatch):
    run_job(Toy(), toy_source(tmp_path / "in", 40), tmp_path / "store", shard_rows=1, inline=True)
    monkeypatch.setattr(module, "THREADS", 3)
    assert [part for part, _ in verify(tmp_path / "store")][:40] == [f"shard {number:06d}" for number in range(40)]


def test_a_key_in_two_shards_is_told_with_both(store):
    rows = rows_of(store, 1)
    rewrite(store, 1, [{**rows[0], "key": "a.b/0001.bin"}, *rows[1:]])
    assert found(store)["keys"] == ["key 'a.b/0001.bin' is in shard 000000 and in shard 000001"]


def test_a_key_both_stored_and_failed_is_told(store):
    rewrite(store, 1, rows_of(store, 1)[1:], [{"key": "a.b/0001.bin", "reason": "is bad"}])
    assert found(store)["keys"] == ["key 'a.b/0001.bin' is in shard 000000 and in the failures of shard 000001"]


def test_rows_and_failures_must_account_for_every_planned_input(store):
    rewrite(store, 1, rows_of(store, 1)[1:])
    assert found(store, quick=True) == {"shard 000001": ["accounts for 4 rows and 0 failures of 5 inputs"]}


def test_a_count_of_rows_that_is_not_the_shards_is_told(store):
    rewrite(store, 1, rows_of(store, 1)[1:], told=5)
    assert found(store)["shard 000001"] == [f"{store.shard_path(1)} has 4 rows where its record says 5"]


def test_rows_that_are_no_regions_are_told_though_every_checksum_agrees(store):
    rows = rows_of(store, 2)
    rows[3]["boxes"][0, 0] = np.nan
    rewrite(store, 2, rows)
    problem, = found(store)["shard 000002"]
    assert problem.startswith("row 3 ('a.b/0013.bin'): ")


def test_a_shard_that_is_none_of_the_format_is_told_by_name(store):
    path = store.shard_path(3)
    path.write_bytes(b"\0" * 5000)
    ShardRecord(3, 5, 5000, file_digest(path)).write(store.path, store.path)
    assert "000003" in found(store)["shard 000003"][0]


@pytest.mark.parametrize("change", ["missing", "cut short", "stale", "a row less", "two rows swapped", "no arrow"])
def test_an_index_that_does_not_hold_each_key_at_its_row_is_told(store, change):
    path, keys, fingerprint = store.path / INDEX_FILE, list(store.keys()), store.fingerprint()
    data = path.read_bytes()
    if change == "missing":
        path.unlink()
    elif change in ("cut short", "no arrow"):
        path.write_bytes(data[:-20] if change == "cut short" else b"text")
    elif change == "stale":
        Index.build(keys).write(store.path, "another")
    elif change == "a row less":
        Index.build(keys[:-1]).write(store.path, fingerprint)
    else:
        Index.build([keys[1], keys[0], *keys[2:]]).write(store.path, fingerprint)
    assert list(found(store)) == ["index"]


def test_a_changed_bit_of_the_index_never_hides_a_key(store):
    path, keys = store.path / INDEX_FILE, list(store.keys())
    data = bytearray(path.read_bytes())
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(0)
        place = bytes(data).find(batch.column("hash").buffers()[1].to_pybytes()[:32])
    data[place + 5] ^= 4
    path.write_bytes(data)
    assert [Store.open(store.path).find(key) for key in keys] == list(range(22))


def test_files_beside_the_shards_are_named_and_are_no_fault(store):
    (store.path / "shards" / "notes.txt").write_text("mine")
    (store.path / "shards" / "000009.json").write_text("{}")
    assert strays(store.path) == ["000009.json", "notes.txt"] and not found(store)


def test_swapped_shards_are_found_with_and_without_their_records(store):
    one, two = store.shard_path(1), store.shard_path(2)
    for suffix in (one.suffix, ".json"):
        a, b = one.with_suffix(suffix), two.with_suffix(suffix)
        swapped = b.read_bytes(), a.read_bytes()
        a.write_bytes(swapped[0])
        b.write_bytes(swapped[1])
        assert list(found(store)) == ["shard 000001", "shard 000002"]
    with pytest.raises(HeedError, match=r"000001\.json is damaged: it is the record of shard 000002"):
        Store.open(store.path)


@pytest.mark.parametrize("name", ["store.json", "shards/000001.json"])
def test_no_bit_of_the_small_files_can_change_unseen(store, name):
    path = store.path / name
    data = path.read_bytes()
    for place in range(0, 8 * len(data), 29):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(HeedError):
            Store.open(store.path)
    path.write_bytes(data[:-1])
    with pytest.raises(HeedError, match="seal"):
        Store.open(store.path)


def test_small_files_without_a_seal_are_read(store):
    path = store.path / "store.json"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-2], "}"]).replace("},\n}", "}\n}"))
    assert Identity.read(store.path) == store.identity


def test_check_refuses_a_changed_shard_by_name_on_first_use_and_only_that(store):
    path = store.shard_path(1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    checked = Store.open(store.path, check=True)
    assert checked.row(0)["key"] == "a.b/0000.bin"
    with pytest.raises(HeedError, match=rf"{path} does not match its SHA-256.*heed store repair"):
        checked.row(5)
    with pytest.raises(HeedError, match="SHA-256"):
        checked.gather("features", [0, 5])
