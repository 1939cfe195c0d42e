import gzip
import io
import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.sampler import Order
from pipeline.tars.samples import Refusals, decoded
from pipeline.tars.sequential import read_tar, share_batches, shuffled, stream_tars
from tests.pipeline.rows_store import MIXED, mixed_rows, rows_store
from tests.pipeline.tars.made import image_samples, made_tar


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    """Five tars of 7 samples each, 00000 to 00034."""
    folder = tmp_path_factory.mktemp("tars")
    for number in range(5):
        (folder / f"{number}.tar").write_bytes(made_tar(image_samples(7 * number, 7 * number + 7)))
    return sorted(folder.glob("*.tar"))


def keys(samples):
    return [sample.key for sample in samples]


ALL = [f"{i:05d}" for i in range(35)]


def test_an_epoch_gives_every_sample_once_in_an_order_that_follows_from_the_seed(tars):
    assert keys(stream_tars(tars, Order(shuffle="none"))) == ALL
    first = keys(stream_tars(tars, Order(1), epoch=0, buffer=10))
    assert sorted(first) == ALL and first != ALL
    assert keys(stream_tars(tars, Order(1), epoch=0, buffer=10)) == first
    assert keys(stream_tars(tars, Order(1), epoch=1, buffer=10)) != first
    assert keys(stream_tars(tars, Order(2), epoch=0, buffer=10)) != first


@given(count=st.integers(0, 60), buffer=st.integers(1, 70), seed=st.integers(0, 99), epoch=st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_the_shuffle_buffer_gives_each_once_holds_no_more_than_its_size_and_repeats(count, buffer, seed, epoch):
    arrived = []
    order = []
    for sample in shuffled((arrived.append(i) or i for i in range(count)), buffer, seed, epoch):
        order.append(sample)
        assert len(arrived) - len(order) <= buffer
    assert sorted(order) == list(range(count))
    assert order == list(shuffled(range(count), buffer, seed, epoch))


def test_the_shuffle_buffer_mixes():
    order = np.array(list(shuffled(range(5000), 1000, 3, 0)))
    assert 400 < order[:100].mean() < 700 and np.ptp(order[:100]) > 900
    waited = np.argsort(order)[1000:3000] - np.arange(2000)  # steps for which a sample is held: 1000 on average
    assert 900 < waited.mean() < 1100
    with pytest.raises(HeedError, match="at least 1"):
        list(shuffled([1], 0, 0, 0))


@given(count=st.integers(0, 70), batch=st.integers(1, 40), before=st.sampled_from([1, 2, 3, 4, 8]),
       after=st.sampled_from([1, 2, 3, 4, 8]), stopped=st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_ranks_share_one_order_and_a_run_goes_on_with_another_number_of_them(count, batch, before, after, stopped):
    seen = []
    for world, first, steps in ((before, 0, stopped), (after, stopped, None)):
        ranks = [list(share_batches(shuffled(range(count), 9, 4, 2), batch, rank, world, first))[:steps]
                 for rank in range(world)]
        assert len({len(rank) for rank in ranks}) == 1
        for shares in zip(*ranks, strict=True):
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
            seen += [sample for share in shares for sample in share]
    assert seen == list(shuffled(range(count), 9, 4, 2))


def test_a_tar_comes_through_a_pipe():
    data = made_tar(image_samples(0, 5))
    read, write = os.pipe()

    def feed():
        with os.fdopen(write, "wb") as end:
            end.write(data)

    writer = threading.Thread(target=feed)
    writer.start()
    with os.fdopen(read, "rb") as file:
        assert keys(read_tar(file, "pipe")) == ALL[:5]
    writer.join()


def test_tars_are_read_from_urls_and_gzipped(tars, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    data = tars[1].read_bytes()
    fsspec.filesystem("memory").pipe_file("/tars/one.tar", data)
    (tmp_path / "one.tar.gz").write_bytes(gzip.compress(data))
    for where in ("memory://tars/one.tar", tmp_path / "one.tar.gz"):
        assert keys(stream_tars([where], Order(shuffle="none"))) == ALL[7:14]
    packed = gzip.compress(data)
    for damaged in (packed[:len(packed) // 2], packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:]):  # a wrong checksum
        (tmp_path / "bad.tar.gz").write_bytes(damaged)
        with pytest.raises(HeedError, match=r"bad\.tar\.gz cannot be read on from byte"):
            keys(stream_tars([tmp_path / "bad.tar.gz"]))
    with pytest.raises(HeedError, match=r"gone\.tar"):
        keys(stream_tars([tmp_path / "gone.tar"]))


def test_a_tar_that_is_cut_short_stops_the_stream_after_what_was_whole_or_is_passed_over(tars, tmp_path):
    cut = tmp_path / "cut.tar"
    cut.write_bytes(made_tar(image_samples(0, 7))[:4000])
    whole = keys(read_tar(io.BytesIO(cut.read_bytes()), "cut", damaged="skip"))
    assert 0 < len(whole) < 7
    listed = [tars[1], cut, tars[2]]
    given = []
    with pytest.raises(HeedError, match=r"cut\.tar is cut short: it ends at byte 4000"):
        for sample in stream_tars(listed, Order(3)):
            given.append(sample.key)
    assert set(whole) <= set(given)
    refused = Refusals()
    assert sorted(keys(stream_tars(listed, Order(3), refused=refused, damaged="skip"))) == sorted(whole + ALL[7:21])
    assert refused.count == 1 and refused.first[0].tar == str(cut)


def test_a_stores_own_tars_are_read_in_order_without_its_index(tmp_path):
    rows = mixed_rows([f"dir.a/v{i}" for i in range(9)])
    store = rows_store(tmp_path / "store", rows, MIXED, format="webdataset")
    (tmp_path / "store" / "index.arrow").unlink()
    paths = [store.shard_path(position) for position in range(len(store.records))]
    read = [decoded(sample) for sample in stream_tars(paths, Order(shuffle="none"))]
    assert [one["json"]["key"] for one in read] == [row["key"] for row in rows]
    for one, row in zip(read, rows, strict=True):
        assert np.array_equal(one["features.npy"], row["features"]) and one["features.npy"].dtype == np.float16
        assert (one["jpeg"], one["json"]["title"]) == (row["jpeg"], row["title"])
