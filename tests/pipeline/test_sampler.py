import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.sampler import (
    Order,
    _hash_order,
    _hashes,
    _start,
    batch_rows,
    epoch_order,
    hash_integers,
    local_order,
    sample_order,
    steps_per_epoch,
)

sizes = st.integers(1, 200)
WORLDS = (1, 2, 3, 4, 8)
orders = st.builds(Order, seed=st.integers(0, 2**40), shuffle=st.sampled_from(["global", "local", "none"]),
                   window=st.integers(1, 5), buckets=st.integers(0, 4))


def ordered(order, rows, batch, epoch=3):
    """Samples of up to 13 shards, and lengths, that follow from ``rows``."""
    rng = np.random.default_rng(rows)
    return sample_order(order, epoch, rows, batch, np.sort(rng.integers(0, 13, rows)), rng.integers(0, 30, rows))


@given(order=orders, rows=st.integers(0, 200), batch=st.integers(1, 40), epoch=st.integers(0, 1000))
@settings(deadline=None)
def test_an_epoch_visits_every_sample_once_however_it_is_ordered(order, rows, batch, epoch):
    visited = ordered(order, rows, batch, epoch)
    assert visited.dtype == np.int64 and np.array_equal(np.sort(visited), np.arange(rows))
    assert np.array_equal(visited, ordered(order, rows, batch, epoch))


@pytest.mark.parametrize("world", WORLDS)
@given(order=orders, rows=sizes, batch=st.integers(1, 40))
@settings(deadline=None, max_examples=25)
def test_ranks_share_out_one_global_order_and_drop_nothing(world, order, rows, batch):
    visited = ordered(order, rows, batch)
    steps = steps_per_epoch(rows, batch)
    together = [np.concatenate([batch_rows(visited, step, batch, rank, world) for rank in range(world)])
                for step in range(steps)]
    assert np.array_equal(np.concatenate(together), visited)
    assert all(len(samples) == batch for samples in together[:-1])
    for step in range(steps):
        shares = [len(batch_rows(visited, step, batch, rank, world)) for rank in range(world)]
        assert max(shares) - min(shares) <= 1


@given(order=orders, rows=sizes, batch=st.integers(1, 40), before=st.sampled_from(WORLDS),
       after=st.sampled_from(WORLDS), data=st.data())
@settings(deadline=None)
def test_a_run_stopped_at_any_step_goes_on_in_the_same_order_with_another_world_size(
    order, rows, batch, before, after, data
):
    steps = steps_per_epoch(rows, batch)
    stopped = data.draw(st.integers(0, steps))
    seen = []
    for world, part in ((before, range(stopped)), (after, range(stopped, steps))):
        visited = ordered(order, rows, batch)  # a new process knows nothing but (seed, epoch, step)
        seen += [batch_rows(visited, step, batch, rank, world) for step in part for rank in range(world)]
    assert np.array_equal(np.concatenate(seen), ordered(order, rows, batch))


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=20), window=st.integers(1, 6),
       seed=st.integers(0, 999), epoch=st.integers(0, 9))
@settings(deadline=None)
def test_a_local_shuffle_is_done_with_a_window_of_shards_before_it_opens_the_next(counts, window, seed, epoch):
    shards = np.repeat(np.arange(len(counts)), counts)
    visited = local_order(shards, seed, epoch, window)
    assert sorted(visited.tolist()) == list(range(len(shards)))
    last_use = {shard: place for place, shard in enumerate(shards[visited].tolist())}
    opened: set[int] = set()
    for place, shard in enumerate(shards[visited].tolist()):
        opened.add(shard)
        assert sum(last_use[one] >= place for one in opened) <= window


def test_a_local_shuffle_mixes_a_windows_shards_and_visits_them_in_another_order_each_epoch():
    shards = np.repeat(np.arange(8), 50)
    first, second = (local_order(shards, 5, epoch, 2) for epoch in (0, 1))
    assert not np.array_equal(first, second)
    for visited in (first, second):
        for window in shards[visited].reshape(4, 100):
            assert len(set(window)) == 2 and len(set(window[:50])) == 2
            assert np.count_nonzero(np.diff(window)) > 20  # in their own order they would change once
    assert set(shards[first][:100]) != set(shards[second][:100])


def test_an_order_without_shuffle_is_the_samples_own():
    assert np.array_equal(sample_order(Order(shuffle="none"), 7, 5, 2), np.arange(5))


def padded_share(visited, lengths, batch):
    """Share of the elements of an epoch's padded batches that are padding."""
    cut = [lengths[visited[first:first + batch]] for first in range(0, len(visited), batch)]
    return 1 - sum(c.sum() for c in cut) / sum(c.max() * len(c) for c in cut)


def test_length_buckets_save_nine_tenths_of_the_padding():
    """Lengths of captions: about log-normal, 10 words in the median."""
    lengths = np.rint(np.exp(np.random.default_rng(0).normal(2.3, 0.35, 20_000))).astype(int).clip(3, 60)
    plain, bucketed = (sample_order(Order(seed=1, buckets=n), 0, len(lengths), 64, lengths=lengths) for n in (0, 50))
    without, with_buckets = padded_share(plain, lengths, 64), padded_share(bucketed, lengths, 64)
    assert without > 0.5
    assert with_buckets < 0.1 * without


def test_bucketed_batches_come_in_random_order_and_the_short_last_one_is_not_the_longest():
    lengths = np.arange(1007) % 90
    visited = sample_order(Order(buckets=1000), 0, 1007, 10, lengths=lengths)
    means = lengths[visited[:1000]].reshape(100, 10).mean(1)
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.3
    assert np.ptp(lengths[visited[:1000]].reshape(100, 10), axis=1).max() <= 2
    assert lengths[visited[1000:]].mean() < 80
    in_order = sample_order(Order(shuffle="none", buckets=1000), 0, 1007, 10, lengths=lengths)
    assert (np.diff(lengths[in_order[:1000]]) >= 0).all()


def test_epochs_and_seeds_differ_and_repeat():
    assert np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 2))
    assert not np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 3))
    assert not np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 2, 2))
    assert not np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 2, 1))


def test_orders_are_those_of_earlier_versions():
    """Runs are gone on with, and their figures repeated, by later versions: these must never change."""
    assert epoch_order(10, 1, 2).tolist() == [2, 9, 8, 7, 3, 1, 5, 6, 0, 4]
    assert local_order(np.arange(10) // 2, 1, 2, 2).tolist() == [6, 5, 4, 7, 2, 1, 0, 3, 9, 8]


@given(count=st.integers(0, 3000), kept=st.integers(1, 64), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_order_in_little_memory_is_the_argsort_of_the_hashes(count, kept, seed):
    """With few bits of the hash kept, many are equal: as with billions of rows."""
    start = _start(seed, 0)
    assert np.array_equal(_hash_order(count, start, kept), np.argsort(_hashes(start, np.arange(count)), kind="stable"))


def test_the_order_of_many_rows_takes_little_more_than_eight_bytes_a_row():
    import tracemalloc

    rows = 4_000_000
    tracemalloc.start()
    order = epoch_order(rows, 0, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * rows + 50e6
    assert np.array_equal(np.bincount(order), np.ones(rows))


def test_the_hash_is_splitmix64():
    """First outputs of the generator seeded with 0 (Steele, Lea and Flood): state 0, then the golden ratio added."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([0, golden, 2 * golden % 2**64], np.uint64)
    assert [hex(x) for x in hash_integers(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_positions_are_spread_evenly():
    """Over many seeds each sample comes first about equally often: chi-squared below its 99.9 % point (9 degrees)."""
    first = np.bincount([epoch_order(10, seed, 0)[0] for seed in range(2000)], minlength=10)
    assert ((first - 200) ** 2 / 200).sum() < 27.9


def test_what_an_order_lacks_is_said():
    with pytest.raises(HeedError, match="no shuffle 'globl'"):
        Order(shuffle="globl")
    with pytest.raises(HeedError, match="at least 1 shard"):
        Order(window=0)
    with pytest.raises(HeedError, match="must know the shard"):
        sample_order(Order(shuffle="local"), 0, 5, 2)
    with pytest.raises(HeedError, match="must know the length"):
        sample_order(Order(buckets=3), 0, 5, 2)
