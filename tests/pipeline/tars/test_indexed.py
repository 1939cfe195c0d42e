import pickle

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.sampler import Order
from pipeline.stream import Stream
from pipeline.tars.indexed import TarSamples
from pipeline.tars.sequential import stream_tars
from tests.pipeline.tars.made import image_samples, made_tar


@pytest.fixture
def tars(tmp_path):
    for number, (first, last) in enumerate([(0, 7), (7, 8), (8, 8), (8, 20)]):
        entries = [("../escape.txt", b"x"), *image_samples(first, last)]
        (tmp_path / f"{number}.tar").write_bytes(made_tar(entries))
    return sorted(tmp_path.glob("*.tar"))


def test_the_indexed_samples_are_those_read_in_order(tars):
    samples = TarSamples.scan(tars)
    expected = list(stream_tars(tars, Order(shuffle="none")))
    assert list(samples) == expected and samples.keys == [sample.key for sample in expected]
    assert samples.shards.tolist() == [0] * 7 + [1] + [3] * 12
    assert samples.refused.count == 4
    with pytest.raises(IndexError, match="20 samples"):
        samples[20]


def test_they_stream_with_the_same_sampler_as_stores_do_and_travel_to_other_processes(tars):
    stream = Stream(TarSamples.scan(tars), {}, batch=3, order=Order(5, "local", window=1),
                    shards=TarSamples.scan(tars).shards)
    epoch = pickle.loads(pickle.dumps(stream.epoch(1)))
    read = [sample for batch in epoch.batches() for sample in batch.samples]
    assert sorted(sample.key for sample in read) == [f"{i:05d}" for i in range(20)]
    assert read == [stream.samples[i] for i in epoch.order]
    shards = stream.samples.shards[epoch.order]
    assert np.count_nonzero(np.diff(shards)) == 2  # tar after tar
    assert all(sample.parts["txt"] == f"caption {int(sample.key)}".encode() for sample in read)


def test_a_tar_that_is_cut_short_is_refused_or_its_whole_samples_are_kept(tars):
    tars[3].write_bytes(tars[3].read_bytes()[:9000])
    with pytest.raises(HeedError, match=r"3\.tar is cut short"):
        TarSamples.scan(tars)
    kept = TarSamples.scan(tars, damaged="skip")
    assert 8 < len(kept) < 20 and kept.refused.first[-1].tar == str(tars[3])
    assert list(kept) == list(stream_tars(tars, Order(shuffle="none"), damaged="skip"))


def test_a_tar_that_changed_since_or_is_not_there_is_told(tars):
    samples = TarSamples.scan(tars)
    tars[3].write_bytes(tars[3].read_bytes()[:9000])
    with pytest.raises(HeedError, match=r"3\.tar has become shorter"):
        samples[19]
    tars[3].unlink()
    with pytest.raises(HeedError, match=r"3\.tar cannot be read: No such file"):
        samples[19]
    with pytest.raises(HeedError, match=r"3\.tar cannot be read: No such file"):
        TarSamples.scan(tars)
