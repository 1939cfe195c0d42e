import itertools

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.convert import open_convert
from pipeline.fields import Field, region_fields, row_from_regions
from pipeline.job import run_job
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.rows_store import rows_store
from tests.pipeline.toy import Toy, shard_bytes, toy_regions, toy_source


def made(tmp_path, bad=(2, 6)):
    run_job(Toy(), toy_source(tmp_path / "source", 9, bad), tmp_path / "store", inline=True, shard_rows=4)
    return Store.open(tmp_path / "store")


def converted(store, out, dtype="", **options):
    source, spec = open_convert(store.path, dtype)
    summary = run_job(spec, source, out, inline=True, **options)
    assert all(not problems for _, problems in verify(out))
    return Store.open(out), summary


@pytest.mark.parametrize(("format", "rows", "dtype"), [
    ("webdataset", 4, ""), ("arrow", 3, "float32"), ("arrow", 100, ""), ("webdataset", 1, "")])
def test_rows_failures_and_what_made_them_are_kept(tmp_path, format, rows, dtype):
    store = made(tmp_path)
    out, summary = converted(store, tmp_path / "out", dtype, format=format, shard_rows=rows)
    assert list(out.keys()) == list(store.keys()) and len(out) == 7
    assert out.failures() == store.failures() and summary.status == 3
    assert out.identity.extractor == {**store.identity.extractor, "converted_from": store.fingerprint()}
    assert out.identity.fields["features"].dtype == (dtype or "float16")
    for row, name in itertools.product(range(7), store.identity.fields):
        assert np.array_equal(out.row(row)[name], store.row(row)[name])


def test_there_and_back_gives_the_same_bytes(tmp_path):
    store = made(tmp_path, bad=())
    there, _ = converted(store, tmp_path / "there", format="webdataset", shard_rows=2)
    back, _ = converted(there, tmp_path / "back", format="arrow", shard_rows=4)
    assert shard_bytes(back.path) == shard_bytes(store.path) and back.fingerprint() == store.fingerprint()


def test_an_unfinished_store_is_not_converted(tmp_path):
    store = made(tmp_path)
    (store.path / "shards" / "000001.json").unlink()
    with pytest.raises(HeedError, match="is not finished"):
        open_convert(store.path)


@pytest.mark.parametrize("format", ["arrow", "webdataset"])
def test_int8_and_back_and_int8_again_gives_the_same_bytes(tmp_path, format):
    store = made(tmp_path)
    small, _ = converted(store, tmp_path / "small", "int8", format=format, shard_rows=3)
    there, _ = converted(small, tmp_path / "there", "float32", format="arrow", shard_rows=5)
    again, _ = converted(there, tmp_path / "again", "int8", format=format, shard_rows=3)
    assert shard_bytes(again.path) == shard_bytes(small.path) != shard_bytes(store.path)
    for row in range(7):
        exact, near = store.row(row)["features"], small.row(row)["features"]
        scales = small.row(row, raw=True)["feature_scales"]
        assert (np.abs(exact.astype(np.float64) - near) <= scales[:, None] / 2).all()
        assert np.array_equal(there.row(row)["features"], near) and there.fields == there.identity.fields
    assert small.failures() == again.failures() == store.failures()


def test_int8_is_passed_on_as_it_is(tmp_path):
    small, _ = converted(made(tmp_path, bad=()), tmp_path / "small", "int8", shard_rows=4)
    tars, _ = converted(small, tmp_path / "tars", format="webdataset", shard_rows=2)
    back, _ = converted(tars, tmp_path / "back", shard_rows=4)
    assert shard_bytes(back.path) == shard_bytes(small.path)
    half, _ = converted(small, tmp_path / "half", "float16", shard_rows=4)
    assert np.array_equal(half.row(3)["features"], small.row(3)["features"].astype(np.float16))


def test_every_store_on_the_way_is_remembered(tmp_path):
    store = made(tmp_path)
    first, _ = converted(store, tmp_path / "first", "float32", shard_rows=4)
    second, _ = converted(first, tmp_path / "second", "int8", shard_rows=4)
    assert second.identity.extractor == {
        **store.identity.extractor, "converted_from": first.fingerprint(),
        "before": {"converted_from": store.fingerprint()}}


def test_rows_that_are_unsound_are_counted_failures_of_the_new_store(tmp_path):
    """As another program may have written them, with checksums that agree."""
    rows = [row_from_regions(str(i), toy_regions(bytes([i])), region_fields(8, 2, "float32")) for i in range(5)]
    rows[1]["features"] = np.where(np.arange(8) == 3, np.nan, rows[1]["features"]).astype(np.float32)
    rows[2]["boxes"] = rows[2]["boxes"][:, [2, 1, 0, 3]]
    rows[3]["boxes"] = rows[3]["boxes"] + 64
    rows[4]["features"] = rows[4]["features"] * np.float32(1e6)
    store = rows_store(tmp_path / "store", rows, region_fields(8, 2, "float32"), "regions")
    out, summary = converted(store, tmp_path / "out", "float16", shard_rows=4)
    assert list(out.keys()) == ["0"] and summary.status == 3
    reasons = [failure["reason"] for failure in out.failures()]
    assert all(word in reason for word, reason in zip(
        ("NaN", "inverted", "outside its image", "too large for float16"), reasons, strict=True))


def test_stores_without_features_have_no_number_type_to_change(tmp_path):
    store = rows_store(tmp_path / "store", [{"key": "a", "title": "b"}],
                       {"key": Field("string"), "title": Field("string")}, "titles")
    with pytest.raises(HeedError, match="cannot be stored as int8"):
        converted(store, tmp_path / "out", "int8")
    assert converted(store, tmp_path / "same")[0].row(0) == {"key": "a", "title": "b"}
