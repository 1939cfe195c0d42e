"""Checkpoints: all a run needs to go on as if it had never stopped, written whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from features.errors import HeedError
from pipeline.atomic import atomic_write
from training import workers


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically."""
    with atomic_write(path) as file:
        torch.save(state, file)


def load(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint without unpickling code; `HeedError` where there is none or it is damaged."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise HeedError(f"There is no checkpoint {path}.") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise HeedError(f"The checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from error


def random_states() -> list[dict[str, Any]]:
    """State of torch's generators, which dropout draws from, of each worker."""
    state = {"cpu": workers.gather_rows(torch.get_rng_state().to(workers.device())[None]).cpu()}
    if torch.cuda.is_available():
        devices = torch.stack(torch.cuda.get_rng_state_all())
        state["cuda"] = workers.gather_rows(devices.to(workers.device())[None]).cpu()
    return [{kind: rows[number].clone() for kind, rows in state.items()} for number in range(workers.world())]


def set_random_state(state: dict[str, Any]) -> None:
    """Set torch's generators to one worker's state."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
