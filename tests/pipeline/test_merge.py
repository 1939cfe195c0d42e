import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heed
from features.errors import HeedError
from pipeline.identity import Identity
from pipeline.job import run_job
from pipeline.merge import open_merge
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.rows_store import CLIPS, clip_rows, rows_store
from tests.pipeline.toy import Toy, ToyReader, shard_bytes, toy_regions


def made(folder, name, keys, bad=(), spec=None, **options):
    """A store of regions that follow from the keys; those in ``bad`` fail."""
    (folder / "in").mkdir(exist_ok=True)
    items = []
    for key in keys:
        data = b"bad" if key in bad else key.encode()
        (folder / "in" / f"{name}-{key}").write_bytes(data)
        items.append(Item(key, str(folder / "in" / f"{name}-{key}"), len(data)))
    run_job(spec or Toy(), Source("x", items, 0), folder / name, inline=True, **{"shard_rows": 2, **options})
    return Store.open(folder / name)


def merged(folder, *names, out="out", dtype="", duplicates="error", mixed=False, **options):
    source, spec = open_merge([folder / name for name in names], dtype, duplicates, mixed)
    summary = run_job(spec, source, folder / out, inline=True, **{"shard_rows": 3, **options})
    assert all(not problems for _, problems in verify(folder / out))
    return Store.open(folder / out), summary


def test_all_rows_and_failures_are_there_in_the_order_of_the_stores(tmp_path):
    one = made(tmp_path, "one", "dbca", bad="c")
    two = made(tmp_path, "two", "zyx", bad="y", format="webdataset")
    out, summary = merged(tmp_path, "one", "two")
    assert list(out.keys()) == ["d", "b", "a", "z", "x"] and summary.status == 3 and out.identity.format == "arrow"
    assert out.failures() == [*one.failures(), *two.failures()] and [r.rows for r in out.records] == [2, 2, 1]
    for row, key in enumerate(out.keys()):
        read = out.regions(row)
        assert np.array_equal(read.features, toy_regions(key.encode()).features.astype(np.float16))
    assert out.identity.extractor == {
        "name": "toy", "version": 1,
        "merged_from": [{"fingerprint": one.fingerprint(), "rows": 3}, {"fingerprint": two.fingerprint(), "rows": 2}]}


def test_merging_the_parts_gives_the_bytes_of_the_whole(tmp_path):
    whole = made(tmp_path, "whole", "abcdefg", bad="cf", shard_rows=3)
    made(tmp_path, "one", "abc", bad="c", format="webdataset", shard_rows=2)
    made(tmp_path, "two", "defg", bad="f", shard_rows=1)
    out, _ = merged(tmp_path, "one", "two", format="arrow")
    assert shard_bytes(out.path) == shard_bytes(whole.path) and out.fingerprint() == whole.fingerprint()


def test_two_rows_with_one_key_are_an_error_that_names_it_or_the_first_ones(tmp_path):
    made(tmp_path, "one", "abc")
    made(tmp_path, "two", "cbd")
    with pytest.raises(HeedError, match=r"'c' has a row in .*one and in .*two, and so have 1 other keys.*--dup"):
        merged(tmp_path, "one", "two")
    rows = [{**row, "key": key, "duration": 99.0} for key, row in zip("bx", clip_rows("bx"), strict=True)]
    rows_store(tmp_path / "first", clip_rows("ab"), CLIPS)
    rows_store(tmp_path / "second", rows, CLIPS)
    out, _ = merged(tmp_path, "first", "second", duplicates="first")
    assert list(out.keys()) == ["a", "b", "x"] and out.row(1)["duration"] != 99 and out.row(2)["duration"] == 99
    again, _ = merged(tmp_path, "second", "first", duplicates="first", out="again")
    assert list(again.keys()) == ["b", "x", "a"] and again.row(0)["duration"] == 99


def test_what_failed_in_one_store_is_taken_from_another_and_fails_once_if_nowhere(tmp_path):
    made(tmp_path, "one", "abc", bad="bc")
    made(tmp_path, "two", "bcd", bad="c")
    out, summary = merged(tmp_path, "one", "two")
    assert list(out.keys()) == ["a", "b", "d"] and summary.failures == [{"key": "c", "reason": "is bad"}]


def test_stores_of_other_extractors_are_refused_by_what_differs_unless_asked_for(tmp_path):
    made(tmp_path, "one", "ab")
    two = made(tmp_path, "two", "cd", spec=Toy(version=2))
    with pytest.raises(HeedError, match=r"not made alike \(extractor\.version: 1 and 2\).*--allow-mixed"):
        merged(tmp_path, "one", "two")
    out, _ = merged(tmp_path, "one", "two", mixed=True)
    assert out.identity.extractor["merged_from"][1] == {
        "fingerprint": two.fingerprint(), "rows": 2, "unlike": ["extractor.version: 1 and 2"]}
    assert "unlike" not in out.identity.extractor["merged_from"][0]


def test_other_kinds_widths_and_vocabularies_are_refused_even_then(tmp_path, monkeypatch):
    made(tmp_path, "one", "ab")
    rows_store(tmp_path / "clips", clip_rows("x"), CLIPS)
    with pytest.raises(HeedError, match=r"one holds regions and .*clips clips; they cannot be one store"):
        merged(tmp_path, "one", "clips", mixed=True)
    monkeypatch.setattr(ToyReader, "describe", lambda self: {"name": "toy", "version": 1, "classes": ["cat", "dog"]})
    made(tmp_path, "named", "cd")
    with pytest.raises(HeedError, match=r"extractor\.classes: nothing and \['cat', 'dog'\]"):
        merged(tmp_path, "one", "named", mixed=True)


def test_number_types_may_differ_and_become_the_first_ones_or_the_asked_one(tmp_path):
    rows = clip_rows("abcd")
    rows_store(tmp_path / "half", rows[:2], CLIPS)
    rows_store(tmp_path / "half2", rows[2:], CLIPS)
    assert heed.main(["store", "convert", str(tmp_path / "half2"), str(tmp_path / "small"), "--dtype", "int8"]) == 0
    out, _ = merged(tmp_path, "half", "small")
    assert out.identity.fields == CLIPS
    small = Store.open(tmp_path / "small")
    assert np.array_equal(out.row(2)["features"], small.row(0)["features"].astype(np.float16))
    assert np.array_equal(out.row(0)["features"], rows[0]["features"])
    bytes_, _ = merged(tmp_path, "small", "half", out="int8", format="webdataset")
    assert bytes_.identity.fields["features"].dtype == "int8" and bytes_.identity.format == "webdataset"
    assert np.array_equal(bytes_.row(0, raw=True)["features"], small.row(0, raw=True)["features"])
    full, _ = merged(tmp_path, "small", "half", out="full", dtype="float32")
    assert np.array_equal(full.row(1)["features"], small.row(1)["features"])


def test_a_converted_store_can_be_merged_with_one_that_was_not(tmp_path):
    made(tmp_path, "one", "ab")
    made(tmp_path, "two", "cd")
    assert heed.main(["store", "convert", str(tmp_path / "two"), str(tmp_path / "tars"), "--format", "webdataset"]) == 0
    out, _ = merged(tmp_path, "tars", "one")
    assert list(out.keys()) == ["c", "d", "a", "b"]
    assert out.identity.extractor["before"]["converted_from"] == Store.open(tmp_path / "two").fingerprint()


def test_an_interrupted_merge_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    made(tmp_path, "one", "abcd", bad="b")
    made(tmp_path, "two", "efgh")
    whole, _ = merged(tmp_path, "one", "two", out="whole")
    from pipeline.worker import ShardWorker

    calls = []
    work = ShardWorker.run

    def stopping(self, task):
        calls.append(task)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return work(self, task)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ShardWorker, "run", stopping)
        merged(tmp_path, "one", "two")
    out, summary = merged(tmp_path, "one", "two")
    assert summary.extracted == 5 and shard_bytes(out.path) == shard_bytes(whole.path)


def test_the_command_merges_and_repairs(tmp_path, capsys):
    made(tmp_path, "one", "abcd")
    made(tmp_path, "two", "efgh", bad="g")
    out = tmp_path / "out"
    assert heed.main(["store", "merge", str(out), str(tmp_path / "one"), str(tmp_path / "two")]) == 3
    before = shard_bytes(out)
    (out / "shards" / "000001.arrow").unlink()
    (out / "shards" / "000003.json").unlink()
    assert heed.main(["store", "repair", str(out)]) == 0 and shard_bytes(out) == before
    (out / "shards" / "000001.arrow").unlink()
    (tmp_path / "two").rename(tmp_path / "moved")
    assert heed.main(["store", "repair", str(out)]) == 2 and "two, is not there any more" in capsys.readouterr().err
    where = f"{tmp_path / 'one'}\n{tmp_path / 'moved'}"
    assert heed.main(["store", "repair", str(out), "--source", where]) == 0 and shard_bytes(out) == before


@pytest.mark.parametrize("names", [["one"], ["one", "one"], []])
def test_merging_needs_two_stores(tmp_path, names):
    made(tmp_path, "one", "ab")
    with pytest.raises(HeedError, match="two stores or more, each once"):
        open_merge([tmp_path / name for name in names])


GROUPS = st.dictionaries(st.sampled_from("abcdef"), st.booleans(), min_size=1)


@given(groups=st.lists(GROUPS, min_size=2, max_size=3), rows=st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_every_key_of_any_store_is_there_once_stored_if_it_was_anywhere(groups, rows, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("merge")
    for number, group in enumerate(groups):
        made(tmp_path, f"s{number}", group, [key for key, bad in group.items() if bad])
    out, _ = merged(tmp_path, *(f"s{number}" for number in range(len(groups))), duplicates="first", shard_rows=rows)
    good = {key for group in groups for key, bad in group.items() if not bad}
    everything = {key for group in groups for key in group}
    assert sorted(out.keys()) == sorted(good)
    assert sorted(failure["key"] for failure in out.failures()) == sorted(everything - good)
    assert Identity.read(out.path).source["inputs"] == len(everything)
