"""The tensors of a TorchScript archive, which OpenAI's CLIP models are, without running the code that it holds.

Such a file is a zip: ``data.pkl`` pickles the module and its submodules as objects whose attributes are numbers,
tensors and further objects, and ``data/0``, ``data/1``, … are the tensors' numbers. Objects are read as bags of
attributes; of the functions a pickle may call there are only those that make tensors, played here.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import HeedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

DTYPES = {
    "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "DoubleStorage": "float64",
    "LongStorage": "int64", "IntStorage": "int32", "ByteStorage": "uint8", "BoolStorage": "bool",
}


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive: a zip with code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Every tensor by its dotted name, on the CPU; `HeedError` for a damaged archive and one that asks for more."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next((name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")),
                           None)
            if pickled is None:
                raise HeedError("it has no data.pkl")
            with archive.open(pickled) as file:
                return dict(_tensors(_Reader(file, archive, pickled.removesuffix("data.pkl")).load(), ""))
    except Exception as error:  # a damaged pickle or zip raises almost anything
        raise HeedError(f"{path} cannot be read as a TorchScript archive: {error}.") from error


class _Bag:
    """An object of a class that only the archive's code defines: its attributes, nothing else."""

    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Bag
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in _PLAYED:
            return _PLAYED[module, name]
        raise HeedError(f"it names {module}.{name}, which tensors do not need; nothing was run")

    def persistent_load(self, place: Any) -> tuple[str, bytes]:
        kind, dtype, key, *_ = place
        if kind != "storage" or dtype not in DTYPES.values() or not str(key).isalnum():
            raise HeedError("a tensor's storage is described in an unknown way")
        return dtype, self.archive.read(f"{self.root}data/{key}")


def _rebuild(
    storage: tuple[str, bytes], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    import torch

    dtype = getattr(torch, storage[0])
    if not storage[1]:
        return torch.zeros(size, dtype=dtype)
    values = torch.frombuffer(bytearray(storage[1]), dtype=dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((*size, *stride, offset)) < 0 or (all(size) and last >= len(values)):
        raise HeedError(f"a tensor of shape {tuple(size)} does not fit its storage")
    return values.as_strided(size, stride, offset).clone()


def _same(value: Any, *_: Any) -> Any:
    return value


_PLAYED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _same,
    **{("torch.jit._pickle", f"build_{kind}list"): _same for kind in ("int", "double", "bool", "tensor")},
    ("torch.jit._pickle", "restore_type_tag"): _same,
}


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, _Bag):
        for part, inner in getattr(value, "state", {}).items():
            yield from _tensors(inner, f"{name}.{part}" if name else str(part))
