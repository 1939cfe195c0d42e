import json
import subprocess
import sys

import pytest

from benchmarks.large_store import build, key
from pipeline.index import INDEX_FILE
from pipeline.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "store"
    build(path, 100_000, 20_000)
    return path


def test_a_store_of_many_rows_opens_fast_finds_keys_fast_and_takes_little_memory(store):
    """A tenth of the benchmark's rows; its bounds, ten times as wide for times as machines may be busy."""
    command = [sys.executable, "-m", "benchmarks.large_store", "--measure", str(store)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert found["rows"] == 100_000
    assert found["open_s"] < 1 and found["lookup_us_median"] < 500 and found["absent_us_median"] < 500
    assert found["written_MB"] < 20 and found["written_with_python_MB"] < 100
    assert not found["pandas"]  # which some pyarrow calls import: half a second and 30 MB


def test_opening_a_store_reads_neither_shards_nor_index(store, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("read")

    monkeypatch.setattr("pipeline.store.open_shard", refuse)
    monkeypatch.setattr("pipeline.store.Index.read", refuse)
    assert len(Store.open(store)) == 100_000


def test_finding_a_key_opens_one_shard_and_an_absent_key_none(store):
    opened = Store.open(store)
    assert opened.find(key(45_678)) == 45_678 and len(opened._shards) == 1
    assert opened.find("absent") is None and len(opened._shards) == 1
    assert (store / INDEX_FILE).stat().st_size < 17 * 100_000
