import itertools

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.convert import open_convert
from pipeline.job import run_job
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.toy import Toy, shard_bytes, toy_source


def made(tmp_path, bad=(2, 6)):
    run_job(Toy(), toy_source(tmp_path / "source", 9, bad), tmp_path / "store", inline=True, shard_rows=4)
    return Store.open(tmp_path / "store")


def converted(store, out, dtype="", **options):
    source, spec = open_convert(store.path, dtype)
    summary = run_job(spec, source, out, inline=True, **options)
    assert all(not problems for _, problems in verify(out))
    return Store.open(out), summary


@pytest.mark.parametrize(("format", "rows", "dtype"), [
    ("webdataset", 4, ""), ("arrow", 3, "float32"), ("arrow", 100, "")])
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
