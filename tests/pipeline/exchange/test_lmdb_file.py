import lmdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.exchange.lmdb_file import LmdbFile, open_lmdb, write_lmdb


def database(path, entries, **options):
    with lmdb.open(str(path), map_size=1 << 28, **options) as env:
        for start in range(0, len(entries), 300):  # several transactions leave free pages behind
            with env.begin(write=True) as txn:
                for key, value in list(entries.items())[start:start + 300]:
                    txn.put(key, value)
    return path


def random_entries(count, seed=0):
    rng = np.random.default_rng(seed)
    return {f"{rng.integers(1 << 30)}/{i}".encode(): rng.bytes(int(rng.integers(0, 9000))) for i in range(count)}


def test_it_reads_what_the_library_wrote(tmp_path):
    entries = random_entries(2000)
    read = LmdbFile(database(tmp_path / "db", entries))
    assert read.entries == 2000
    assert list(read.items()) == [(key, len(entries[key])) for key in sorted(entries)]
    assert all(read.get(key) == value for key, value in entries.items())
    assert read.get(b"") is None and read.get(b"zzz") is None and read.get(next(iter(entries)) + b"x") is None


def test_deleted_and_replaced_entries_follow_the_last_transaction(tmp_path):
    entries = random_entries(50)
    database(tmp_path / "db", entries)
    first, second = list(entries)[:2]
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 28) as env, env.begin(write=True) as txn:
        txn.delete(first)
        txn.put(second, b"new")
    read = open_lmdb(tmp_path / "db")
    assert read.get(first) is None and read.get(second) == b"new" and read.entries == 49


@pytest.mark.parametrize("options", [{"subdir": False}, {"writemap": True}])
def test_a_single_file_and_a_sparse_map_are_read(tmp_path, options):
    entries = random_entries(20)
    read = LmdbFile(database(tmp_path / "db", entries, **options))
    assert {key: read.get(key) for key, _ in read.items()} == entries


def test_an_empty_database_has_no_entries(tmp_path):
    read = LmdbFile(database(tmp_path / "db", {}))
    assert list(read.items()) == [] and read.get(b"a") is None


def test_it_reads_what_it_wrote_and_the_library_does_too(tmp_path):
    entries = {**random_entries(300), b"large": b"x" * (80 << 20)}  # larger than the first map
    write_lmdb(tmp_path / "db", entries.items())
    with lmdb.open(str(tmp_path / "db"), readonly=True, lock=False) as env, env.begin() as txn:
        assert {bytes(key): bytes(value) for key, value in txn.cursor()} == entries
    assert LmdbFile(tmp_path / "db").get(b"large") == entries[b"large"]


def test_a_cut_file_is_refused_when_it_is_opened(tmp_path):
    file = database(tmp_path / "db", random_entries(100)) / "data.mdb"
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(HeedError, match="cut short"):
        LmdbFile(tmp_path / "db")


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\0" * 9000])
def test_another_file_is_no_lmdb(tmp_path, data):
    (tmp_path / "data.mdb").write_bytes(data)
    with pytest.raises(HeedError, match="no LMDB"):
        LmdbFile(tmp_path)


def test_duplicate_entries_are_refused(tmp_path):
    with lmdb.open(str(tmp_path / "db"), max_dbs=2) as env:
        env.open_db(b"named")
    with pytest.raises(HeedError, match="named or duplicate"):
        list(LmdbFile(tmp_path / "db").items())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_a_damaged_database_gives_entries_or_a_sentence(tmp_path, changes, early):
    source = tmp_path / "source" / "data.mdb"
    if not source.exists():
        (tmp_path / "damaged").mkdir()
        database(tmp_path / "source", {f"{i:04d}".encode(): bytes([i % 256]) * (i * 7 % 6000) for i in range(60)})
    data = bytearray(source.read_bytes())
    for where, new in changes:  # half of the runs damage the meta pages and the first tree pages
        data[int(where * ((20_000 if early else len(data)) - 1))] = new
    file = tmp_path / "damaged" / "data.mdb"
    file.write_bytes(data)
    try:
        read = LmdbFile(file)
        for key, size in read.items():
            value = read.get(key)
            assert value is None or len(value) >= 0 or size
    except HeedError as error:
        assert str(error)
