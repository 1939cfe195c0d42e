"""A stream's batches as tensors on a device, read into pinned memory in the background where that is a GPU.

    for batch in device_batches(stream.epoch(3), "cuda", first=120):
        batch.samples, batch["regions"]["features"].values, batch["regions"]["features"].mask

Copying from pinned memory does not wait for the device, so the copy of one batch runs while the last is computed. A
`torch.utils.data.DataLoader` with workers takes ``collate_fn=to_tensors``, which lets batches travel in shared memory.
torch is imported only when a function of this module is called.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pipeline.ahead import read_ahead
from pipeline.padding import Padded
from pipeline.stream import Batch, Epoch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class PaddedTensors:
    """One field of a batch, shaped like a `pipeline.padding.Padded`; strings and bytes stay NumPy arrays of objects."""

    values: Tensor
    lengths: Tensor
    mask: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> PaddedTensors:
        """The same with ``change`` applied to every tensor."""
        import torch

        values = change(self.values) if isinstance(self.values, torch.Tensor) else self.values
        return PaddedTensors(values, change(self.lengths), change(self.mask))


@dataclass(frozen=True)
class TensorBatch(Generic[T]):
    """A `pipeline.stream.Batch` of tensors."""

    samples: Sequence[T]
    stores: Mapping[str, Mapping[str, PaddedTensors]]

    def __getitem__(self, store: str) -> Mapping[str, PaddedTensors]:
        return self.stores[store]

    def pin_memory(self) -> TensorBatch[T]:
        """The same in pinned memory; by this name, as a DataLoader looks for it."""
        return self._each(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> TensorBatch[T]:
        """The same on a device.

        Does not wait for a copy from pinned memory to a GPU, which keeps its own order. A copy to the CPU is waited
        for: nothing else would keep the CPU from reading numbers that have not arrived.
        """
        import torch

        to_gpu = torch.device(device).type == "cuda"
        return self._each(lambda tensor: tensor.to(device, non_blocking=to_gpu))

    def _each(self, change: Callable[[Tensor], Tensor]) -> TensorBatch[T]:
        return TensorBatch(self.samples, {name: {field: values.each(change) for field, values in fields.items()}
                                          for name, fields in self.stores.items()})


def to_tensors(batch: Batch[T]) -> TensorBatch[T]:
    """A batch's arrays as tensors, which share their memory."""
    return TensorBatch(batch.samples, {name: {field: _tensors(padded) for field, padded in fields.items()}
                                       for name, fields in batch.stores.items()})


def device_batches(
    epoch: Epoch[T], device: torch.device | str, first: int = 0, depth: int = 2
) -> Generator[TensorBatch[T], None, None]:
    """Batches ``first``, ``first`` + 1, … of an epoch on ``device``.

    Up to ``depth`` batches are read in a thread before they are taken, into pinned memory where the device is a GPU.
    Errors arrive where the batch would have; closing the iterator ends the thread (`pipeline.ahead.read_ahead`).
    """
    import torch

    device = torch.device(device)
    pinned = device.type == "cuda"

    def read(step: int) -> TensorBatch[T]:
        batch = to_tensors(epoch[step])
        # The thread must not open a context, and take memory, on the first GPU where it is another one's.
        with torch.cuda.device(device) if pinned else nullcontext():
            return batch.pin_memory() if pinned else batch

    with closing(read_ahead(read, range(first, len(epoch)), depth)) as batches:
        for batch in batches:
            yield batch.to(device)


def _tensors(padded: Padded) -> PaddedTensors:
    import torch

    values: Any = padded.values
    if values.dtype != object:
        values = torch.from_numpy(values)
    return PaddedTensors(values, torch.from_numpy(padded.lengths), torch.from_numpy(padded.mask))
