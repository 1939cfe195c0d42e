"""Several workers, one training: each takes its share of every batch, and together they step as one would.

A step's loss is the weighted mean of the shares' losses, sum_r w_r loss_r / sum_r w_r with a share's weight from
`training.task.SharesBatches`; each worker differentiates its own term and the gradients are added up. So N workers take
the steps that one takes with the same global batch, to the rounding of sums in another order.

Gradients are added once a step, after the backward pass, rather than by DistributedDataParallel's hooks within it: a
loss that looks at all workers' samples communicates in its own backward pass (`gather_rows`), and two streams of
messages whose order may differ between workers would hang. With one worker every function here gives back what it got.
Nothing is pickled on the way: workers exchange tensors and JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from features.errors import HeedError

PATIENCE = timedelta(hours=24)
"""How long workers wait for one another, as they do for the first one's validation. That one has died they see at once,
by its closed connection or through whoever started them."""
_BUCKET = 1 << 25
"""Gradients added up at a time, in numbers: a copy of so many is held."""


def rank() -> int:
    """This worker's number; 0 where there is one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of workers."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this is the worker that writes the run folder."""
    return rank() == 0


@contextmanager
def joined(workers: int, device: str) -> Iterator[None]:
    """Join the workers that torchrun has started; where it has not, there is one.

    ``workers`` is what was asked for, 1 where nobody said; `HeedError` where torchrun has started another number.
    """
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        yield
        return
    started = int(os.environ["WORLD_SIZE"])
    if workers not in (1, started):
        raise HeedError(f"torchrun has started {started} workers, --workers says {workers}; leave it to torchrun.")
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def first_worker_first() -> Iterator[None]:
    """The block, run by the first worker before the others: what it writes, they read."""
    if not first():
        dist.barrier()
    yield
    if first() and world() > 1:
        dist.barrier()


def shared(loss: Tensor, weight: float) -> tuple[Tensor, float]:
    """This worker's term of the step's loss, to be differentiated, and the value of the whole."""
    if world() == 1:
        return loss, float(loss.detach())
    sums = torch.stack([loss.new_tensor(weight, dtype=torch.float64), loss.detach().double() * weight])
    dist.all_reduce(sums)
    total, weighted = sums.tolist()
    if not total:
        raise HeedError("A batch has no weight on any worker; a task's weight is a number of samples, or 1.")
    return loss * (weight / total), weighted / total


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up each parameter's gradients of all workers; one that no worker has a gradient for is left without."""
    if world() == 1:
        return
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if parameter.requires_grad:
            bucket.append(parameter)
            if sum(p.numel() for p in bucket) >= _BUCKET:
                _sum_bucket(bucket)
                bucket = []
    if bucket:
        _sum_bucket(bucket)


def _sum_bucket(parameters: Sequence[nn.Parameter]) -> None:
    parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in parameters]
    flags = parts[0].new_tensor([p.grad is not None for p in parameters])
    flat = torch.cat([*(part.to(flags.dtype) for part in parts), flags])
    dist.all_reduce(flat)
    *sums, flags = flat.split([p.numel() for p in parameters] + [len(parameters)])
    for parameter, total, has in zip(parameters, sums, flags.tolist(), strict=True):
        parameter.grad = total.view_as(parameter).to(parameter.dtype) if has else None


@torch.no_grad()
def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Give every worker the first one's values: of parameters before the first step, of buffers after each."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def gather_rows(x: Tensor) -> Tensor:
    """The rows of all workers' tensors, rank after rank, with gradients: (rows of all, …).

    The numbers of rows may differ, and be 0; other sizes are padded with zeros to the largest. Every worker must use
    what it gets, and come to its backward pass: a gradient is the sum of those of all workers.
    """
    if world() == 1:
        return x
    shapes = _gathered(torch.tensor([x.shape], device=x.device)).tolist()
    rest = [max(sizes) for sizes in list(zip(*shapes, strict=True))[1:]]
    padding = [pad for have, want in zip(x.shape[:0:-1], rest[::-1], strict=True) for pad in (0, want - have)]
    return _GatherRows.apply(F.pad(x, padding), [shape[0] for shape in shapes])


def gather_json(value: Any) -> list[Any]:
    """The values of all workers, by rank; a value is what JSON can say."""
    if world() == 1:
        return [value]
    data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(device())
    lengths = _gathered(torch.tensor([len(data)], device=data.device)).tolist()
    rows = _gathered(F.pad(data, (0, max(lengths) - len(data)))[None]).cpu().numpy()
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]


def mean_figures(figures: dict[str, float], weight: float) -> dict[str, float]:
    """Each figure's mean over the workers that have it, weighted like their losses."""
    if world() == 1:
        return figures
    means = {}
    told = gather_json([figures, weight])
    for name in dict.fromkeys(name for one, _ in told for name in one):
        weights = [w for one, w in told if name in one]
        means[name] = sum(one[name] * w for one, w in told if name in one) / sum(weights)
    return means


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: list[int]) -> Tensor:
        ctx.mine = slice(sum(rows[:rank()]), sum(rows[: rank() + 1]))
        padded = F.pad(x, [0, 0] * (x.dim() - 1) + [0, max(rows) - len(x)])
        parts = _gathered(padded).split(max(rows))
        return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total[ctx.mine], None


def _gathered(x: Tensor) -> Tensor:
    """Tensors of one shape of all workers, one behind the other."""
    sent = x.to(torch.uint8) if x.dtype == torch.bool else x.contiguous()
    parts = [torch.empty_like(sent) for _ in range(world())]
    dist.all_gather(parts, sent)
    return torch.cat(parts).to(x.dtype)


def device() -> torch.device:
    """Where tensors lie that workers exchange; the CPU where there is one worker."""
    nccl = dist.is_initialized() and dist.get_backend() == "nccl"
    return torch.device("cuda" if nccl else "cpu")
