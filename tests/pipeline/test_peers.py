"""The comparison with other libraries: what it reads, compares and tells."""

import csv
import json

import numpy as np
import pytest

from benchmarks import contenders, peers, peers_plot
from benchmarks.contenders import BATCH, CONTENDERS, FILES, HEED, MEMCPY

ELSEWHERE = ("MDS", "litdata")
"""Installed in an environment of their own."""


@pytest.fixture
def small(monkeypatch):
    for name, value in (("SHAPE", (3, 8)), ("REGIONS", 3), ("DIM", 8), ("SHARD_ROWS", 50)):
        monkeypatch.setattr(contenders, name, value)
    return list(np.random.default_rng(0).random((2 * BATCH + 30, 3, 8)).astype(np.float16))


def read(contender, folder, seed, half=None):
    contenders._STORES.clear()
    contenders._BLOCKS.clear()
    batches = contender.read(folder, seed, half) if contender.read else contender.load(folder, seed, 0)
    return [np.array(batch) for batch in batches]


@pytest.mark.parametrize("name", [name for name in CONTENDERS if name not in ELSEWHERE])
def test_each_contender_gives_every_row_as_it_was_written(name, small, tmp_path):
    contender = CONTENDERS[name]
    for module in {"lmdb": ("lmdb", "msgpack"), "": ()}.get(contender.package, (contender.package,)):
        pytest.importorskip(module)
    contender.write(small, tmp_path)
    batches = read(contender, tmp_path, None)
    assert [len(batch) for batch in batches] == [BATCH, BATCH, 30] and batches[0].dtype == np.float16
    assert np.array_equal(np.concatenate(batches), small)
    shuffled = np.concatenate(read(contender, tmp_path, 3))
    assert not np.array_equal(shuffled, small)
    assert sorted(row.tobytes() for row in shuffled) == sorted(row.tobytes() for row in small)
    if contender.read:
        halves = [np.concatenate(read(contender, tmp_path, 3, half)) for half in (0, 1)]
        assert np.array_equal(np.concatenate(halves), shuffled) and abs(len(halves[0]) - len(halves[1])) <= 1


def test_rows_that_are_missing_doubled_changed_or_out_of_order_are_refused():
    peers.compare("HDF5", "shuffled", 1, [2, 0, 1], 3)
    peers.compare("HDF5", "in order", 2, [1, 2, 0], 3)
    peers.compare("BUTD TSV", "shuffled", 1, [4, 2], 9)
    for order, seen in (("shuffled", [0, 1]), ("shuffled", [0, 1, 1]), ("shuffled", [0, -1, 2]),
                        ("in order", [0, 2, 1])):
        with pytest.raises(AssertionError, match="HDF5"):
            peers.compare("HDF5", order, 1, seen, 3)
    with pytest.raises(AssertionError):
        peers.compare("BUTD TSV", "shuffled", 1, [4, 4], 9)


def rates():
    told = {}
    for order in contenders.ORDERS:
        told[MEMCPY, order, 1, "warm"] = [100.0, 200.0, 150.0]
        told[HEED, order, 1, "warm"] = [90.0, 160.0, 120.0]
        told["MDS", order, 1, "warm"] = [30.0, 80.0, 20.0]
        told["HDF5", order, 1, "warm"] = [89.0, 100.0, 110.0]
    told[HEED, "shuffled", 1, "cold"] = [50.0, 40.0, 60.0]
    return told


def test_ratios_are_medians_of_the_rounds_ratios_and_what_falls_short_is_named():
    table = [peers.line(key, rates(), {HEED: 7}) for key in rates()]
    row, = [row for row in table if row["contender"] == "MDS" and row["order"] == "shuffled"]
    assert (row["images_per_second"], row["lowest"], row["highest"]) == (30, 20, 80)
    assert row["heed_is_times_faster"] == 3.0 and row["share_of_memcpy"] == 0.3  # of 3, 2, 6 and 0.3, 0.4, 0.133
    told = peers.targets(table)
    assert told["share_of_memcpy_shuffled"] == {"1 readers": 0.8} and told["measurements_against_peers"] == 4
    assert told["ahead_by_less"] == [f"HDF5, {order}, 1 readers: 1.091" for order in contenders.ORDERS]


def test_the_table_is_written_and_drawn_and_can_be_drawn_again(tmp_path):
    table = [peers.line(key, rates(), {HEED: 7}) for key in rates()]
    peers.save({"table": table, "rows": 3}, tmp_path / "peers.csv", tmp_path / "peers.png")
    with (tmp_path / "peers.csv").open(newline="") as file:
        assert [row["contender"] for row in csv.DictReader(file)] == [row["contender"] for row in table]
    assert json.loads((tmp_path / "peers.json").read_text()) == {"rows": 3}
    first = (tmp_path / "peers.png").read_bytes()
    peers_plot.draw(tmp_path / "peers.csv", tmp_path / "peers.png")
    assert first.startswith(b"\x89PNG") and (tmp_path / "peers.png").read_bytes() == first


def test_files_are_pushed_out_of_the_page_cache_and_what_stays_is_told(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    (tmp_path / "empty").touch()
    share = peers.push_out(tmp_path)
    assert 0 <= share <= 1 and path.read_bytes() == bytes(100_000)


def test_reading_processes_are_timed_for_both_orders_in_step(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((4 * BATCH, *contenders.SHAPE)).astype(np.float16))
    folder = tmp_path / "00"
    folder.mkdir()
    CONTENDERS[MEMCPY].write(list(np.load(tmp_path / "rows.npy")), folder)
    rates = peers.measure_warm(MEMCPY, folder, 2, 0.01, True)
    assert set(rates) == set(contenders.ORDERS) and min(rates.values()) > 0


def test_the_published_table_has_every_contender_in_every_setting():
    if not peers.TABLE.exists():
        pytest.skip("the comparison has not been run: make bench-peers")
    with peers.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = peers.usual(json.loads(peers.RESULT.read_text())["machine"]["cores"])
    assert {row["contender"] for row in rows} == {*names, FILES}
    for name in names:
        warm = {(row["order"], row["readers"]) for row in rows if row["contender"] == name and row["cache"] == "warm"}
        assert warm == {(order, readers) for order in contenders.ORDERS for readers in "12"}
    shares = [float(row["share_of_memcpy"]) for row in rows
              if row["contender"] == HEED and (row["order"], row["cache"]) == ("shuffled", "warm")]
    assert min(shares) >= peers.SHARE_WANTED
