"""Where a network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.errors import HeedError

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> torch.device:
    """The torch device that ``auto`` (cuda where there is one) or a name means; `HeedError` where it is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise HeedError(f"{name!r} is no device; use auto, cpu, cuda or cuda:1.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HeedError(f"There is no {name} on this machine; use --device cpu or auto.")
    return device
