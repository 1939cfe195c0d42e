import numpy as np
import pytest

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.job import run_job
from pipeline.store import Store
from pipeline.stream import CaptionStream, read_ahead
from tests.pipeline.toy import Toy, toy_source


@pytest.fixture
def store(tmp_path):
    run_job(Toy(), toy_source(tmp_path / "in", 9, bad=[2]), tmp_path / "store", shard_rows=4, inline=True)
    return Store.open(tmp_path / "store")


def captions(keys):
    return [Caption(f"{key}#{i}", key, "a caption") for key in keys for i in range(2)]


KEYS = [f"a.b/{n:04d}.bin" for n in range(9)]


def test_each_caption_comes_once_with_its_own_images_regions(store):
    stream = CaptionStream(store, captions(KEYS), batch=5, seed=1)
    assert stream.missing == ["a.b/0002.bin"] and len(stream) == 4
    seen = []
    for batch in stream.batches(epoch=0):
        for features, count, caption in zip(batch.features, batch.regions, batch.captions, strict=True):
            seen.append(caption.id)
            own = store.regions(store.find(caption.key)).features
            assert np.array_equal(features[:count], own) and not features[count:].any()
    assert sorted(seen) == sorted(c.id for c in captions(KEYS) if c.key != "a.b/0002.bin")


def test_starting_in_the_middle_gives_the_rest_of_the_same_epoch(store):
    stream = CaptionStream(store, captions(KEYS), batch=3, seed=1)
    whole = [[c.id for c in batch.captions] for batch in stream.batches(epoch=2)]
    rest = [[c.id for c in batch.captions] for batch in stream.batches(epoch=2, first=4)]
    assert rest == whole[4:]


def test_captions_of_other_images_are_refused_with_an_example(store):
    with pytest.raises(HeedError, match=r"None of the 2 captions.*'dog.jpg'.*its keys look like 'a.b/0000.bin'"):
        CaptionStream(store, captions(["dog.jpg"]), batch=2)


def test_reading_ahead_keeps_order_and_passes_errors_on():
    assert list(read_ahead(lambda step: step * 10, range(7), depth=3)) == [0, 10, 20, 30, 40, 50, 60]
    assert list(read_ahead(lambda step: step, range(1), depth=3)) == [0]
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda step: 1 // (step - 2), range(4)))
