"""A network's weights: read from a file, downloaded by address, or random with a loud warning; and their digest."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from features.errors import HeedError

if TYPE_CHECKING:
    from torch import Tensor, nn

_TIMEOUT = 20.0  # seconds without an answer before a download is given up
_CHUNK = 1 << 20


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds."""

    tensors: dict[str, Tensor]
    """The state dict, on the CPU, in the file's own dtypes."""
    metadata: dict[str, str] = field(default_factory=dict)
    """A safetensors file's metadata; empty for other files."""


def read_weights(path: str | Path) -> WeightsFile:
    """Read a ``.safetensors`` file, or a torch file without unpickling anything but tensors.

    A training checkpoint that keeps its state dict under ``model`` or ``state_dict`` is read too, and so is
    detectron2's ``.pkl``, a pickle of arrays. Raises `HeedError` for a missing or damaged file and for one that holds
    more than tensors and plain values.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise HeedError(f"There is no weights file {str(path)!r}; give a path, a name the detector knows, or 'random'.")
    if path.suffix == ".safetensors":
        try:
            with safe_open(str(path), framework="pt") as file:
                return WeightsFile({name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118
                                   dict(file.metadata() or {}))
        except (SafetensorError, OSError) as error:
            raise HeedError(f"The weights file {str(path)!r} is damaged ({error}); fetch it again.") from None
    if path.suffix == ".pkl":
        return WeightsFile(_pickled_arrays(path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files, and a pickle error for code in one
        raise HeedError(f"The weights file {str(path)!r} cannot be read without running code from it "
                        f"({str(error).splitlines()[0]}); save a plain state dict or a .safetensors file.") from None
    for key in ("model", "state_dict", "model_state", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise HeedError(f"The weights file {str(path)!r} holds no state dict; save model.state_dict().")
    return WeightsFile(dict(state))


def _pickled_arrays(path: Path) -> dict[str, Tensor]:
    """The arrays of detectron2's or Detectron's ``.pkl``: under ``model``, under ``blobs``, or with nothing above."""
    import numpy as np
    import torch

    from features.restricted import dictionary, load

    try:
        state = dictionary(load(path.read_bytes()))
        for key in ("model", "blobs"):
            if isinstance(state.get(key), dict):
                state = dictionary(state[key])
    except HeedError as error:
        raise HeedError(f"The weights file {str(path)!r} cannot be read without running code from it: "
                        f"{error}.") from None
    arrays = {name: torch.from_numpy(np.array(value)) for name, value in state.items()
              if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and not name.endswith("_momentum")}
    if not arrays:
        raise HeedError(f"The weights file {str(path)!r} holds no arrays; detectron2's hold them under 'model'.")
    return arrays


def load_into(model: nn.Module, tensors: dict[str, Tensor], what: str) -> None:
    """Copy a state dict into ``model``; raise `HeedError` naming the first parameter that does not fit.

    Batch normalisation's step counters may be missing: they do not matter after training, and frozen layers lack them.
    """
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    extra = [name for name in tensors if name not in wanted and not name.endswith("num_batches_tracked")]
    shapes = [name for name in wanted if name in tensors and wanted[name].shape != tensors[name].shape]
    if missing or extra or shapes:
        name = (shapes or missing or extra)[0]
        wrong = "has another shape" if shapes else "is missing" if missing else "is not part of it"
        raise HeedError(f"These weights do not fit {what}: parameter {name!r} {wrong} "
                        f"({len(missing)} missing, {len(extra)} unknown, {len(shapes)} of another shape).")
    model.load_state_dict({name: tensor for name, tensor in tensors.items() if name in wanted}, strict=False)


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256, in hex, of a state dict's names, dtypes, shapes and values: a file's format and order do not matter."""
    import torch

    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def file_digest(path: str | Path) -> str:
    """sha256, in hex, of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def warn_random(what: str) -> None:
    """Say loudly that features will come from a network that has learnt nothing."""
    warnings.warn(f"\n{'!' * 80}\n{what} runs with RANDOM weights: its boxes and features mean nothing.\n"
                  f"Use it to try a pipeline out, never for an experiment.\n{'!' * 80}", stacklevel=3)


def download(url: str, sha256_prefix: str = "", folder: Path | None = None, option: str = "--weights ") -> Path:
    """The file at ``url``, fetched once into ``folder`` (torch's own cache of checkpoints unless given).

    Several processes may ask at once: each writes aside and renames. ``option`` is what the user writes before a
    path. Raises `HeedError` saying which file to fetch by hand and how to pass it where there is no network, and when
    the bytes do not have the expected digest.
    """
    import torch

    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    name = Path(urlsplit(url).path).name
    target = folder / name
    by_hand = f"Fetch {url} on a machine with a network and pass the file by its path ({option}PATH/{name})."
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{name}.{os.getpid()}"
        print(f"Downloading {url} to {target}", file=sys.stderr)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, aside.open("wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
            aside.replace(target)
        except OSError as error:  # urllib's errors and time-outs are OSErrors
            raise HeedError(f"The weights {name} could not be downloaded "
                            f"({getattr(error, 'reason', None) or error}). {by_hand}") from None
        finally:
            aside.unlink(missing_ok=True)
    if not file_digest(target).startswith(sha256_prefix):
        raise HeedError(f"The file {str(target)!r} is not what was published (its sha256 does not begin with "
                        f"{sha256_prefix}): delete it and run again. {by_hand}")
    return target
