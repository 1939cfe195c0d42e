"""What a learnable mask costs an attention: explicit, fused and no mask: python -m benchmarks.masked_attention

At four lengths (QVHighlights' 107 tokens, a ViT's 197, SwinBERT's 834, and 4,096), forward alone and forward with
backward, 8 heads of 64: milliseconds (median of rounds), the most memory held at once beside what went in, and how far
context and gradients are from the explicit form's in float32. The mask is (batch, 1, L, L) and wants a gradient; making
it from tokens is not timed, as it is alike in every form. Writes benchmarks/results/masked_attention.json. Without a
GPU the explicit form is timed, and the fused one of ``add``, at the two short lengths; nothing is written.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.recipes import RESULTS
from training.attention.mask_config import MaskConfig
from training.attention.masked import Route, masked_attention

HEADS, DIM, SEED = 8, 64, 0
BATCHES = {107: 64, 197: 64, 834: 16, 4096: 4}
"""Length -> batch."""
FORMS: dict[str, tuple[MaskConfig, Route, bool]] = {
    "no mask, explicit": (MaskConfig(), "explicit", False),
    "no mask, fused (SDPA)": (MaskConfig(), "sdpa", False),
    "add, explicit": (MaskConfig("lam", "add"), "explicit", True),
    "add, fused (SDPA)": (MaskConfig("lam", "add"), "sdpa", True),
    "multiply, explicit": (MaskConfig("lam"), "explicit", True),
    "multiply, fused (FlexAttention)": (MaskConfig("lam"), "flex", True),
}


class Case:
    """One form at one length: its inputs, and what is done with them."""

    def __init__(self, length: int, batch: int, form: str, dtype: torch.dtype, device: torch.device) -> None:
        self.config, self.route, masked = FORMS[form]
        made = torch.Generator(device).manual_seed(SEED)
        shapes = [(batch, HEADS, length, DIM)] * 3 + [(batch, 1, length, length)] * masked
        drawn = [torch.randn(shape, device=device, dtype=dtype, generator=made) for shape in shapes]
        if masked and self.config.combine == "multiply":
            drawn[3] = 1 + drawn[3] / 10
        self.inputs = [one.requires_grad_() for one in drawn]
        self.cotangent = torch.randn(shapes[0], device=device, dtype=dtype, generator=made)

    def forward(self) -> Tensor:
        query, key, value, *learned = self.inputs
        # Weights asked for: without them a plain attention takes the fused kernel whatever the form.
        plain = self.route == "explicit" and not learned
        return masked_attention(query, key, value, learned[0] if learned else None, self.config, need_weights=plain,
                                form=self.route)[0]

    def inference(self) -> None:
        with torch.no_grad():
            self.forward()

    def training(self) -> list[Tensor]:
        return list(torch.autograd.grad(self.forward(), self.inputs, self.cotangent))


def measured(length: int, form: str, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """A row of the result."""
    case = Case(length, BATCHES[length], form, dtype, device)
    row: dict[str, Any] = {"length": length, "batch": BATCHES[length], "form": form, "dtype": str(dtype).split(".")[1]}
    for name, step in (("forward", case.inference), ("forward and backward", case.training)):
        row[f"{name}, ms"] = round(milliseconds(step, device), 3)
        if device.type == "cuda":
            row[f"{name}, MiB"] = round(peak(step) / 2**20, 1)
    return row


def milliseconds(step: Callable[[], object], device: torch.device, least: float = 0.3) -> float:
    """The median of at least five rounds and ``least`` seconds, the first ones, which compile, thrown away."""
    rounds: list[float] = []
    for _ in range(3):
        step()
    end = time.perf_counter() + least
    while len(rounds) < 5 or time.perf_counter() < end:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rounds.append(time.perf_counter() - start)
    return 1000 * statistics.median(rounds)


def peak(step: Callable[[], object]) -> int:
    """Bytes held at once beside what was there before."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def apart(length: int, form: str, device: torch.device) -> float:
    """The largest relative difference of context or gradient from the explicit form's, in float32, batch 2."""
    explicit = f"{form.split(',')[0]}, explicit"
    found = []
    for name in (form, explicit):
        case = Case(length, 2, name, torch.float32, device)
        found.append([case.forward().detach(), *case.training()])
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(*found, strict=True))


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    dtypes = (torch.bfloat16, torch.float32) if device.type == "cuda" else (torch.float32,)
    for length in BATCHES:
        for dtype in dtypes:
            for form, (_, route, _) in FORMS.items():
                if device.type != "cuda" and (route == "flex" or length > 500):
                    continue
                row = measured(length, form, dtype, device)
                if route != "explicit" and dtype == torch.float32:
                    row["relative difference from explicit"] = apart(length, form, device)
                print(row, flush=True)
                yield row


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = False
    found = list(rows(device))
    if device.type == "cuda":
        result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "heads": HEADS, "dim": DIM,
                  "rows": found}
        RESULTS.joinpath("masked_attention.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
