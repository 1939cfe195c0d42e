import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heed
from features.errors import HeedError
from pipeline.job import run_job
from pipeline.store import Store
from pipeline.subset import open_subset, read_keys
from pipeline.verify import verify
from tests.pipeline.toy import Toy, shard_bytes, toy_source

KEYS = [f"a.b/{number:04d}.bin" for number in range(9)]


def made(folder):
    """Nine images with keys such as a.b/0003.bin, of which 0002 and 0006 have failed, four a shard."""
    run_job(Toy(), toy_source(folder / "source", 9, [2, 6]), folder / "store", inline=True, shard_rows=4)
    return Store.open(folder / "store")


@pytest.fixture
def store(tmp_path):
    return made(tmp_path)


def taken(store, out, keys=None, match=(), dtype="", **options):
    source, spec = open_subset(store.path, keys, match, dtype)
    summary = run_job(spec, source, out, inline=True, **{"shard_rows": 2, **options})
    assert all(not problems for _, problems in verify(out))
    return Store.open(out), summary


def same_rows(out, store):
    return all(np.array_equal(out.row(number)[name], store.row(store.find(key))[name])
               for number, key in enumerate(out.keys()) for name in store.fields)


def test_rows_keep_the_stores_order_and_what_made_them(store, tmp_path):
    out, summary = taken(store, tmp_path / "out", [KEYS[7], KEYS[1], KEYS[7], KEYS[4]])
    assert list(out.keys()) == [KEYS[1], KEYS[4], KEYS[7]] and summary.status == 0 and same_rows(out, store)
    assert out.identity.extractor == {**store.identity.extractor, "subset_of": store.fingerprint()}


def test_keys_that_are_not_there_or_failed_are_counted_with_their_reasons(store, tmp_path):
    out, summary = taken(store, tmp_path / "out", [KEYS[2], "nowhere.jpg", KEYS[0], "a.b/0001"])
    assert list(out.keys()) == [KEYS[0]] and summary.status == 3 and summary.inputs == 4
    assert summary.failures == [
        {"key": KEYS[2], "reason": "is bad"},
        {"key": "nowhere.jpg", "reason": "is not in the store that it was to be taken from"},
        {"key": "a.b/0001", "reason": "is not in the store that it was to be taken from"}]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same store, for many tests."""
    return made(tmp_path_factory.mktemp("shared"))


@given(chosen=st.sets(st.sampled_from([*KEYS, "x", "y"]), min_size=1), rows=st.integers(1, 5),
       format=st.sampled_from(["arrow", "webdataset"]))
@settings(max_examples=10, deadline=None)
def test_any_choice_gives_those_rows_and_accounts_for_every_key(chosen, rows, format, shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("subset") / "out"
    if not chosen & set(KEYS):
        with pytest.raises(HeedError, match="none of the keys"):
            taken(shared, out, chosen)
        return
    out, summary = taken(shared, out, chosen, shard_rows=rows, format=format)
    assert list(out.keys()) == [key for key in list(shared.keys()) if key in chosen] and same_rows(out, shared)
    assert sorted([*out.keys(), *(failure["key"] for failure in summary.failures)]) == sorted(chosen)


def test_a_store_split_in_two_merges_to_the_same_bytes(store, tmp_path):
    taken(store, tmp_path / "one", KEYS[:5])
    taken(store, tmp_path / "two", KEYS[5:], format="webdataset")
    assert heed.main(["store", "merge", str(tmp_path / "back"), str(tmp_path / "one"), str(tmp_path / "two"),
                      "--shard-rows", "4"]) == 3
    assert shard_bytes(tmp_path / "back") == shard_bytes(store.path)


@pytest.mark.parametrize(("match", "numbers"), [
    (["*"], range(9)), (["a.b/000[13]*"], [1, 3]), (["*1.bin", "a.b/000?.b?n"], range(9)),
    (["*/0008*", "*0.bin"], [0, 8]),
])
def test_patterns_choose_by_key_failures_too(store, tmp_path, match, numbers):
    out, summary = taken(store, tmp_path / "out", match=match)
    assert list(out.keys()) == [KEYS[i] for i in numbers if i not in (2, 6)] and same_rows(out, store)
    assert [failure["key"] for failure in summary.failures] == [KEYS[i] for i in numbers if i in (2, 6)]


def test_with_a_list_and_patterns_both_must_hold(store, tmp_path):
    out, _ = taken(store, tmp_path / "out", KEYS[:4], ["*1.bin", "*3.bin", "*5.bin"][:2])
    assert list(out.keys()) == [KEYS[1], KEYS[3]]


@pytest.mark.parametrize(("keys", "match", "words"), [
    (None, (), "--keys with a list of keys, or --match"),
    (None, ("a.b/*", "val/*"), r"No key matches 'val/\*'; the keys of .* look like 'a.b/0000.bin'"),
    (["0001", "0002"], (), r"none of the keys.*look like 'a.b/0000.bin'"),
    ([], (), "none of the keys"),
])
def test_a_choice_of_nothing_is_refused_with_what_keys_look_like(store, keys, match, words):
    with pytest.raises(HeedError, match=words):
        open_subset(store.path, keys, match)


def test_lists_of_keys_are_text_or_tables(tmp_path):
    keys = ["a b.jpg", "x/ü.png", "7"]
    (tmp_path / "k.txt").write_text("a b.jpg\r\nx/ü.png\n\n7")
    (tmp_path / "k.jsonl").write_text("".join(json.dumps({"key": key, "path": "p"}) + "\n" for key in keys))
    (tmp_path / "k.csv").write_text("path,key\np,a b.jpg\np,x/ü.png\np,7\n")
    pq.write_table(pa.table({"key": keys, "path": keys}), tmp_path / "k.parquet")
    assert all(read_keys(tmp_path / f"k.{kind}") == keys for kind in ("txt", "jsonl", "csv", "parquet"))


@pytest.mark.parametrize(("name", "data"), [
    ("k.csv", b"id\n3\n"), ("k.csv", b"path,key\nx\n"), ("k.jsonl", b'{"id": 3}\n'), ("k.jsonl", b"3\n"),
    ("k.jsonl", b"{"), ("k.parquet", b"PAR1"), ("k.txt", b"\xff\xfe"), ("missing.txt", None),
])
def test_a_list_that_cannot_be_read_says_what_a_list_is(tmp_path, name, data):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(HeedError, match=rf"{name} cannot be read \(.*a list is text"):
        read_keys(tmp_path / name)


def test_the_command_goes_on_grows_with_its_list_and_repairs(store, tmp_path, capsys):
    out, keys = tmp_path / "out", tmp_path / "keys.txt"
    keys.write_text("\n".join(KEYS[3:6]))
    command = ["store", "subset", str(store.path), str(out), "--keys", str(keys), "--shard-rows", "2"]
    assert heed.main(command) == 0 and heed.main(command) == 0
    keys.write_text("\n".join(KEYS[:6]))
    assert heed.main(command) == 2 and "--append" in capsys.readouterr().err
    assert heed.main([*command, "--append"]) == 3
    assert list(Store.open(out).keys()) == [KEYS[3], KEYS[4], KEYS[5], KEYS[0], KEYS[1]]
    before = shard_bytes(out)
    (out / "shards" / "000001.arrow").write_bytes(b"")
    (out / "shards" / "000002.json").unlink()
    assert heed.main(["store", "repair", str(out)]) == 0 and shard_bytes(out) == before


def test_an_int8_subset_of_a_float_store(store, tmp_path):
    out, _ = taken(store, tmp_path / "out", KEYS[:2], dtype="int8")
    assert out.identity.fields["features"].dtype == "int8" and out.row(0)["features"].dtype == np.float32
