import threading
from contextlib import nullcontext
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.pinned import device_batches, to_tensors
from pipeline.sampler import Order
from pipeline.stream import Join, Stream
from tests.pipeline.rows_store import MIXED, mixed_rows, rows_store

torch = pytest.importorskip("torch")


class Sample(str):
    """A key."""

    key = property(str)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    torch.set_num_threads(1)
    return rows_store(tmp_path_factory.mktemp("s") / "s", mixed_rows([f"v{i}" for i in range(13)]), MIXED)


def stream(store, batch=3, order=None):
    samples = [Sample(f"v{i}") for i in range(13)]
    return Stream(samples, {"video": Join(store, attrgetter("key"), ("features", "mean", "title"))}, batch, order)


def assert_same(tensors, batch):
    assert list(tensors.samples) == list(batch.samples)
    for field, padded in batch["video"].items():
        read = tensors["video"][field]
        assert np.array_equal(read.values, padded.values)
        assert np.array_equal(read.mask.cpu(), padded.mask) and np.array_equal(read.lengths.cpu(), padded.lengths)
    assert tensors["video"]["features"].values.dtype == torch.float16


def test_batches_come_as_tensors_in_the_stores_number_type_from_any_step(store):
    epoch = stream(store, order=Order(4)).epoch(1)
    for first in (0, 3):
        given = list(device_batches(epoch, "cpu", first))
        assert len(given) == len(epoch) - first
        for step, tensors in enumerate(given, first):
            assert_same(tensors, epoch[step])


def test_for_a_gpu_batches_are_pinned_in_the_background_and_copied_without_waiting(store, monkeypatch):
    """With the three calls that need a GPU replaced by ones that note them."""
    pinned_in, copied, entered = [], [], []

    def device(which):
        entered.append(which)
        return nullcontext()

    def pin_memory(tensor):
        pinned_in.append(threading.current_thread())
        return tensor.clone()

    def to(tensor, device, non_blocking=False):
        copied.append((torch.device(device).type, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.cuda, "device", device)
    epoch = stream(store).epoch()
    batches = list(device_batches(epoch, "cuda:1"))
    for step, tensors in enumerate(batches):
        assert_same(tensors, epoch[step])
    tensors_a_batch = 3 + 3 + 2  # values, lengths and mask of two fields; the titles are no tensor
    assert len(pinned_in) == len(copied) == tensors_a_batch * len(epoch)
    assert threading.main_thread() not in pinned_in and set(copied) == {("cuda", True)}
    assert set(entered) == {torch.device("cuda:1")}


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_copy_to_the_cpu_is_waited_for(store, monkeypatch, device):
    """With the copy replaced by one that notes how it was asked for: from a GPU it would arrive later."""
    waited = []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking=False: waited.append(not non_blocking))
    to_tensors(stream(store).epoch()[0]).to(device)
    assert len(waited) == 8 and all(waited)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_numbers_are_the_stores(store):
    epoch = stream(store).epoch()
    for step, tensors in enumerate(device_batches(epoch, "cuda")):
        assert tensors["video"]["features"].values.is_cuda and to_tensors(epoch[step]).pin_memory()
        assert_same(tensors.to("cpu"), epoch[step])


def test_an_error_in_the_background_keeps_its_words_and_stopping_early_ends_the_thread(store):
    damaged = stream(store, batch=2).epoch()
    batches = device_batches(damaged, "cpu")
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heed-read-ahead")]

    class Broken:
        def __len__(self):
            return 3

        def __getitem__(self, step):
            raise HeedError("Shard 000001.arrow is missing.")

    with pytest.raises(HeedError, match=r"Shard 000001\.arrow is missing"):
        next(device_batches(Broken(), "cpu"))


@pytest.mark.timeout(400)  # up to 36 processes take long to start on a busy machine
@given(workers=st.sampled_from([0, 1, 2]), first=st.integers(0, 4), world=st.sampled_from([1, 2, 3]),
       order=st.builds(Order, seed=st.integers(0, 9), shuffle=st.sampled_from(["global", "local", "none"])),
       tensors=st.booleans())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_torch_loader_gives_the_same_batches_with_any_number_of_workers(
    store, workers, first, world, order, tensors
):
    for rank in range(world):
        epoch = stream(store, order=order).epoch(2, rank, world)
        loader = torch.utils.data.DataLoader(
            epoch, batch_size=None, sampler=range(first, len(epoch)), num_workers=workers,
            multiprocessing_context="fork" if workers else None, collate_fn=to_tensors if tensors else None)
        given = list(loader)
        assert len(given) == len(epoch) - first
        for step, batch in enumerate(given, first):
            assert_same(batch if tensors else to_tensors(batch), epoch[step])
