"""Tools to look at learnable masks: what each layer's mask is, and what it does to attention.

    with recorded(model) as seen:
        model(…)
    for name, calls in seen.items():
        print(name, summary(calls[-1], MaskConfig("lam")))

`training.attention.multihead` keeps what its modules see. A map is (heads or 1, queries, keys) of one sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from training.attention.mask import moved
from training.attention.multihead import Attended, Multihead, Projected, Seen

NEGLIGIBLE = 0.1
"""A weight below this share of uniform attention counts as none."""
CLOSE = 0.05
"""A mask this near to doing nothing counts as doing nothing."""


@contextmanager
def recorded(model: nn.Module) -> Iterator[dict[str, list[Seen]]]:
    """Keep what every attention of the model sees, by the module's name, call by call."""
    modules = {name: module for name, module in model.named_modules()
               if isinstance(module, Multihead | Attended | Projected)}
    seen: dict[str, list[Seen]] = {name: [] for name in modules}
    for name, module in modules.items():
        module.seen = seen[name]
    try:
        yield seen
    finally:
        for module in modules.values():
            module.seen = None


def summary(seen: Seen, neutral: float = 1.0) -> dict[str, float]:
    """A layer in figures, over all places that are no padding.

    mask_mean, mask_std, mask_negative (share below 0), mask_idle (share within 0.05 of ``neutral``, what M is where it
    does nothing); moved: how much of a query's attention the mask has moved (`training.attention.mask.moved`), 0 to 1;
    sparsity and sparsity_without: share of weights below a tenth of uniform attention, with the mask and without.
    """
    weights = seen.weights
    allowed = torch.ones_like(weights, dtype=torch.bool) if seen.allowed is None else seen.allowed.expand_as(weights)
    uniform = 1 / allowed.sum(-1, keepdim=True).clamp(min=1)
    figures = {
        "moved": float(moved(weights, seen.without)[allowed.any(-1)].mean()),
        "sparsity": float((weights < NEGLIGIBLE * uniform)[allowed].float().mean()),
        "sparsity_without": float((seen.without < NEGLIGIBLE * uniform)[allowed].float().mean()),
    }
    if seen.mask is not None:
        values = seen.mask.expand_as(weights)[allowed]
        figures |= {"mask_mean": float(values.mean()), "mask_std": float(values.std(correction=0)),
                    "mask_negative": float((values < 0).float().mean()),
                    "mask_idle": float(((values - neutral).abs() < CLOSE).float().mean())}
    return figures


def maps(seen: Seen, row: int = 0) -> dict[str, np.ndarray]:
    """One sample's maps: mask (1 or heads, queries, keys), weights and without (heads, queries, keys), moved (heads,
    queries); float32."""
    found = {"weights": seen.weights[row], "without": seen.without[row],
             "moved": moved(seen.weights[row], seen.without[row])}
    if seen.mask is not None:
        found["mask"] = seen.mask[row]
    return {name: _array(value) for name, value in found.items()}


def _array(value: Tensor) -> np.ndarray:
    return value.detach().float().cpu().numpy()
