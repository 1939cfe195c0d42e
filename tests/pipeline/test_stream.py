import itertools
import pickle
from collections import Counter
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline import cache
from pipeline.annotations import Caption
from pipeline.fields import Field, feature_fields
from pipeline.job import run_job
from pipeline.padded_rows import row_lengths
from pipeline.sampler import Order
from pipeline.store import Store
from pipeline.stream import LOOK_AHEAD, Join, Stream
from tests.pipeline.rows_store import CLIPS, MIXED, clip_rows, mixed_rows, rows_store
from tests.pipeline.toy import Toy, toy_source

KEYS = [f"a.b/{n:04d}.bin" for n in range(9)]
BY_KEY = attrgetter("key")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    run_job(Toy(), toy_source(folder / "in", 9, bad=[2]), folder / "store", shard_rows=4, inline=True)
    return Store.open(folder / "store")


def captions(keys):
    return [Caption(f"{key}#{i}", key, "a caption") for key in keys for i in range(2)]


def caption_stream(store, samples, batch, order=None, **more):
    return Stream(samples, {"regions": Join(store, BY_KEY)}, batch, order, **more)


def ids(batches):
    return [[caption.id for caption in batch.samples] for batch in batches]


def test_each_caption_comes_once_with_its_own_images_regions(store):
    stream = caption_stream(store, captions(KEYS), batch=5, order=Order(1))
    assert len(stream) == 4
    seen = []
    for batch in stream.epoch(0).batches():
        regions = batch["regions"]["features"]
        assert regions.values.dtype == np.float16
        for features, mask, caption in zip(regions.values, regions.mask, batch.samples, strict=True):
            seen.append(caption.id)
            own = store.regions(store.find(caption.key)).features
            assert np.array_equal(features[mask], own) and not features[~mask].any()
            assert np.array_equal(mask, np.arange(len(mask)) < len(own))
    assert sorted(seen) == sorted(c.id for c in captions(KEYS) if c.key != "a.b/0002.bin")


def test_what_a_store_lacks_is_counted_with_an_example(store):
    stream = caption_stream(store, captions([*KEYS, "dog.jpg"]), batch=5)
    lacking = stream.missing["regions"]
    assert lacking.keys == ["a.b/0002.bin", "dog.jpg"] and (lacking.samples, lacking.total) == (4, 20)
    assert str(lacking) == (f"4 of 20 samples have no row in {store.path} and are left out (2 keys, for example "
                            "'a.b/0002.bin')")
    assert caption_stream(store, captions(KEYS[:2]), batch=5).missing == {}


def test_starting_in_the_middle_gives_the_rest_of_the_same_epoch(store):
    epoch = caption_stream(store, captions(KEYS), batch=3, order=Order(1)).epoch(2)
    assert ids(epoch.batches(first=4)) == ids(epoch.batches())[4:] == ids(epoch[step] for step in range(4, len(epoch)))
    with pytest.raises(IndexError, match="6 steps"):
        epoch[6]


def test_samples_that_no_store_holds_are_refused_with_examples(store):
    with pytest.raises(HeedError, match=r"None of the 2 samples.*regions lacks 2.*'dog.jpg'.*look like 'a.b/0000.bin'"):
        caption_stream(store, captions(["dog.jpg"]), batch=2)
    with pytest.raises(HeedError, match="no samples"):
        caption_stream(store, [], batch=2)


@dataclass(frozen=True)
class Query:
    id: str
    video: str
    span: tuple[int, int] = (0, 99)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return rows_store(tmp_path_factory.mktemp("v") / "v", clip_rows([f"v{i}" for i in range(8)]), CLIPS)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    keys = [f"v{i}" for i in range(0, 8, 2)]
    return rows_store(tmp_path_factory.mktemp("a") / "a", mixed_rows(keys), MIXED, shard_rows=3)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    rows = [{key: row[key] for key in ("key", "features")} for row in clip_rows([f"q{i}" for i in range(11)], seed=5)]
    return rows_store(tmp_path_factory.mktemp("t") / "t", rows, {key: CLIPS[key] for key in ("key", "features")},
                      "tokens")


QUERIES = [Query(f"q{i}", f"v{i % 9}") for i in range(13)]


def moments(videos, sounds, texts, sound="keep"):
    """Queries over videos with sound: v8 has no video, odd videos no sound, q11 and q12 no text."""
    return Stream(QUERIES, {
        "video": Join(videos, attrgetter("video"), ("features", "spans", "duration")),
        "audio": Join(sounds, attrgetter("video"), ("features", "mean", "title", "jpeg"), missing=sound),
        "text": Join(texts, attrgetter("id")),
    }, batch=4, order=Order(3))


def test_several_stores_are_joined_each_by_its_own_key(videos, sounds, texts):
    stream = moments(videos, sounds, texts)
    seen = []
    for batch in stream.epoch(0).batches():
        for i, query in enumerate(batch.samples):
            seen.append(query.id)
            for name, store, key, fields in (("video", videos, query.video, ("features", "spans")),
                                             ("text", texts, query.id, ("features",)),
                                             ("audio", sounds, query.video, ("features",))):
                row = store.find(key)
                own = store.row(row) if row is not None else {field: np.zeros((0, 3)) for field in fields}
                for field in fields:
                    read = batch[name][field]
                    assert read.lengths[i] == len(own[field])
                    assert np.array_equal(read.values[i][read.mask[i]], own[field])
                    assert not read.values[i][~read.mask[i]].any()
            assert batch["video"]["duration"].values[i] == videos.row(videos.find(query.video))["duration"]
    assert sorted(seen) == sorted(q.id for q in QUERIES if q.video != "v8" and q.id not in ("q11", "q12"))


def test_a_sample_that_an_optional_store_lacks_is_kept_with_nothing_of_it(videos, sounds, texts):
    for batch in moments(videos, sounds, texts).epoch(0).batches():
        audio = batch["audio"]
        for i, query in enumerate(batch.samples):
            number = int(query.video[1:])
            there = number % 2 == 0
            own = sounds.row(sounds.find(query.video)) if there else {"mean": [0, 0], "title": "", "jpeg": b""}
            for field in ("mean", "title", "jpeg"):
                assert audio[field].lengths[i] == audio[field].mask[i] == there
                assert np.array_equal(audio[field].values[i], own[field])


def test_what_each_store_lacks_is_told_apart(videos, sounds, texts):
    stream = moments(videos, sounds, texts, sound="drop")
    assert {name: (lacking.keys, lacking.samples) for name, lacking in stream.missing.items()} == {
        "video": (["v8"], 1), "audio": (["v1", "v3", "v5", "v7", "v8"], 7), "text": (["q11", "q12"], 2)}
    assert stream.kept.tolist() == [0, 2, 4, 6, 9] and all(lacking.dropped for lacking in stream.missing.values())
    assert "go without" in str(moments(videos, sounds, texts).missing["audio"])


def test_a_span_reads_only_that_part_of_a_row(videos):
    samples = [Query("q", f"v{i}", span) for i in range(8) for span in ((0, 2), (1, 3), (5, 99), (-2, 1), (9, 12))]
    stream = Stream(samples, {"video": Join(videos, attrgetter("video"), ("features", "spans"),
                                            span=attrgetter("span"))}, batch=6)
    for batch in stream.epoch(0).batches():
        for i, query in enumerate(batch.samples):
            start, stop = query.span
            for field in ("features", "spans"):
                whole = videos.row(videos.find(query.video))[field]
                read = batch["video"][field]
                assert np.array_equal(read.values[i, :read.lengths[i]], whole[max(0, start):stop])
    with pytest.raises(HeedError, match=r"'duration'.*no span"):
        Stream(samples, {"video": Join(videos, attrgetter("video"), ("duration",), span=attrgetter("span"))}, 2)


@pytest.mark.parametrize("format", ["arrow", "webdataset"])
def test_the_files_of_a_video_come_as_a_sequence_cut_to_the_span(tmp_path, format):
    rows = [{"key": f"v{i}", "jpg": [bytes([i, j]) for j in range(i)]} for i in range(4)]
    frames = rows_store(tmp_path / "f", rows, {"key": Field("string"), "jpg": Field("bytes", (None,))}, "frames",
                        format=format)
    samples = [Query(f"q{i}", f"v{i}", span) for i in range(5) for span in ((0, 9), (1, 2), (-3, 1))]
    join = Join(frames, attrgetter("video"), ("jpg",), missing="keep", span=attrgetter("span"))
    for batch in Stream(samples, {"frames": join}, batch=4).epoch(0).batches():
        for i, query in enumerate(batch.samples):
            number, (start, stop) = int(query.video[1:]), query.span
            own = rows[number]["jpg"][max(0, start):stop] if number < 4 else []
            assert list(batch["frames"]["jpg"].values[i]) == own
            assert list(pickle.loads(pickle.dumps(batch["frames"]["jpg"].values[i]))) == own
            assert batch["frames"]["jpg"].lengths[i] == len(own)


def test_features_of_one_byte_come_as_they_were_with_their_scales(tmp_path):
    values, scales = np.array([[-127, 3, 0], [64, 127, 1]], np.int8), np.array([0.5, 0.01], np.float32)
    row = {"key": "v", "features": values, "feature_scales": scales}
    store = rows_store(tmp_path / "s", [row], {"key": Field("string"), **feature_fields(3, "int8")}, "tokens")
    batch = Stream([Query("q", "v")], {"text": Join(store, attrgetter("video"))}, batch=1).epoch(0)[0]
    read = batch["text"]["features"]
    assert read.values.dtype == np.float32 and np.array_equal(read.values[0], values * scales[:, None])


def test_a_field_that_a_store_has_not_is_refused_with_those_it_has(store):
    with pytest.raises(HeedError, match="joined as ocr, has no field 'fetures'; it has key, width"):
        Stream(captions(KEYS), {"ocr": Join(store, BY_KEY, ("fetures",))}, 2)


ORDERS = st.builds(Order, seed=st.integers(0, 99), shuffle=st.sampled_from(["global", "local", "none"]),
                   window=st.integers(1, 3), buckets=st.integers(0, 3))


@given(order=ORDERS, count=st.integers(1, 18), batch=st.integers(1, 8), before=st.sampled_from([1, 2, 3, 4, 8]),
       after=st.sampled_from([1, 2, 3, 4, 8]), depth=st.integers(0, 3), data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_world_sizes_and_depths_read_each_sample_once_in_one_order(
    store, order, count, batch, before, after, depth, data
):
    """A run stopped at any step and gone on with by another number of ranks, the tail of the epoch included."""
    samples = captions([key for key in KEYS if key != "a.b/0002.bin"] + [KEYS[0]])[:count]
    stream = caption_stream(store, samples, batch, order, length="regions")
    stopped = data.draw(st.integers(0, len(stream)))
    together = []
    for world, steps in ((before, range(stopped)), (after, range(stopped, len(stream)))):
        ranks = [stream.epoch(5, rank, world).batches(steps.start, depth) for rank in range(world)]
        for _ in steps:
            together.append([caption.id for rank in ranks for caption in next(rank).samples])
        for rank in ranks:
            rank.close()
    assert together == ids(stream.epoch(5).batches())
    assert sorted(itertools.chain(*together)) == sorted(caption.id for caption in samples)


def test_a_local_shuffle_reads_a_window_of_the_first_stores_shards_at_a_time(store):
    stream = caption_stream(store, captions(KEYS), 4, Order(shuffle="local", window=1))
    shards = [store.locate(store.find(caption.key))[0] for batch in stream.epoch(1).batches()
              for caption in batch.samples]
    assert len(shards) == 16 and sum(a != b for a, b in itertools.pairwise(shards)) == 2


def test_buckets_go_by_a_stores_lengths_or_by_those_of_the_samples(store):
    lengths = row_lengths(store, "features")
    assert lengths.tolist() == [len(store.row(row)["features"]) for row in range(len(store))]
    stream = caption_stream(store, captions(KEYS), 4, Order(buckets=9), length="regions")
    read = [batch["regions"]["features"].lengths for batch in stream.epoch(0).batches()]
    assert sorted(np.concatenate(sorted(read, key=np.mean)).tolist()) == np.concatenate(
        sorted(read, key=np.mean)).tolist()
    by_sample = caption_stream(store, captions(KEYS), 4, Order(buckets=9),
                               length=lambda caption: lengths[store.find(caption.key)])
    assert ids(by_sample.epoch(0).batches()) == ids(stream.epoch(0).batches())
    with pytest.raises(HeedError, match="no store 'ocr'"):
        caption_stream(store, captions(KEYS), 4, Order(buckets=9), length="ocr")


def test_a_stream_sent_to_another_process_opens_its_stores_anew_and_gives_the_same(store):
    stream = caption_stream(store, captions(KEYS), 4)
    expected = ids(stream.epoch(0).batches())
    sent = pickle.dumps(stream.epoch(0))
    assert len(sent) < 10_000  # no shard travels with it
    assert ids(pickle.loads(sent).batches()) == expected


@pytest.fixture
def remote(store, tmp_path, monkeypatch):
    """The store in memory, and a count of the shards that are fetched of it, by size and checksum."""
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").put(str(store.path), "/stream-store", recursive=True)
    fetched, fetch = Counter(), cache.fetch

    def counted(wanted, file):
        fetched[wanted.sha256] += 1
        return fetch(wanted, file)

    monkeypatch.setattr(cache, "fetch", counted)
    limit = 2 * max(record.bytes for record in store.records)
    opened = Store.open("memory://stream-store", cache=cache.ShardCache(tmp_path / "cache", limit))
    yield opened, fetched
    fsspec.filesystem("memory").rm("/stream-store", recursive=True)


def test_a_remote_store_is_joined_without_a_shard_and_read_shard_by_shard(remote, store):
    """With a cache for two of its three shards."""
    opened, fetched = remote
    stream = caption_stream(opened, captions(KEYS), 2, Order(3, "local", window=1))
    assert not fetched and stream.missing["regions"].keys == ["a.b/0002.bin"]
    local = caption_stream(store, captions(KEYS), 2, Order(3, "local", window=1))
    for epoch in (0, 1):
        fetched.clear()
        assert ids(stream.epoch(epoch).batches()) == ids(local.epoch(epoch).batches())
        assert set(fetched.values()) <= {1}


def test_a_remote_store_is_told_which_rows_come_next(remote, monkeypatch):
    opened, _ = remote
    told = []
    stream = caption_stream(opened, captions(KEYS), 4, Order(2))
    monkeypatch.setattr(opened, "prefetch", lambda rows: told.append(rows.tolist()))
    epoch = stream.epoch(0)
    epoch[1]
    assert told == [stream.rows["regions"][epoch.order[4:4 + LOOK_AHEAD]].tolist()]


def test_a_key_whose_hash_another_key_has_is_told_when_its_row_is_read(remote, monkeypatch):
    opened, _ = remote
    assert opened.find(KEYS[0]) == 0
    find = opened._index.candidates
    monkeypatch.setattr(opened._index, "candidates", lambda key: find(KEYS[0] if key == "dog" else key))
    assert opened.find("dog") is None and opened.find("dog", unread=True) == 0
    with pytest.raises(HeedError, match=r"has no 'dog', though its row 0 has the same hash"):
        list(caption_stream(opened, captions(["dog"]), 4).epoch(0).batches())
