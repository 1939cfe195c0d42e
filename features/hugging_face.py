"""transformers and the Hub: imported whole, loaded from folders, nothing run that a checkpoint brings along."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from features.errors import HeedError
from features.weights import read_weights

_TIMEOUT = 5.0  # seconds without an answer before the Hub is taken to be out of reach
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""A folder's weights, by the names of the layout, in the order of preference."""


def transformers() -> Any:
    """The module transformers; `HeedError` where it is not installed.

    It imports torchaudio where that is there, and fails where that fails, as torchaudio 2.11 does beside torch 2.15.
    heed never uses it, so one that does not import is hidden.
    """
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise HeedError(f"This needs the package transformers ({error}): pip install 'heed[encoders]'.") from None
    if "torchaudio" not in sys.modules and find_spec("torchaudio"):
        try:
            import_module("torchaudio")
        except Exception:  # another CUDA's build raises a RuntimeError, another torch's an OSError
            sys.modules["torchaudio"] = None  # type: ignore[assignment]
            getattr(library.utils.import_utils.is_torchaudio_available, "cache_clear", lambda: None)()
    return library


def load_pretrained(kind: Any, folder: Path, what: str, config: Any = None, **settings: Any) -> Any:
    """A model of transformers' class ``kind`` with the weights of a local folder, in float32, ready to predict.

    ``settings`` go to the class. Raises `HeedError` where the folder has no weights or lacks one that the model
    needs: transformers would make up random ones.
    """
    import torch

    if not any((folder / name).is_file() for name in WEIGHTS):
        raise HeedError(f"{folder} has no weights ({', '.join(WEIGHTS[::2])}); bring the whole folder.")
    try:
        with _Quiet():
            model, report = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True,
                ignore_mismatched_sizes=True, **settings)
    except Exception as error:  # a damaged file raises safetensors', torch's, json's or transformers' own errors
        raise HeedError(f"The weights in {folder} cannot be loaded as {what}: {str(error).splitlines()[0]}.") from error
    other = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
    missing = [*sorted(report["missing_keys"]), *sorted(other)]
    if missing:
        raise HeedError(f"The weights in {folder} do not fit {what}: {len(missing)} parameters are missing or of "
                        f"another shape, first {missing[0]!r}.")
    return model.eval()


def weight_names(folder: Path) -> set[str]:
    """The names of the parameters in a folder; `HeedError` where there are none or a file is damaged."""
    from safetensors import SafetensorError, safe_open

    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    try:
        if path is None:
            return set()
        if path.suffix == ".json":
            return set(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as file:
                return set(file.keys())
        return set(read_weights(path).tensors)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise HeedError(f"The weights {path} are damaged: {error}.") from error


def random_model(kind: Any, config: Any, **settings: Any) -> Any:
    """A model of transformers' class ``kind`` with weights drawn the same in every process."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config, **settings).eval()


def read_config(folder: Path) -> Any:
    """The model configuration in a folder; `HeedError` where it is absent, damaged, or of an unknown model."""
    library = transformers()
    try:
        return library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HeedError(f"{folder} is no folder in Hugging Face's layout: {words}.") from error


def is_repository(name: str) -> bool:
    """Whether a name looks like OWNER/NAME of the Hub."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def hub_folder(repository: str, files: Sequence[str], what: str) -> Path:
    """A local copy of a repository's ``files`` (patterns): the cache's, or downloaded.

    Raises `HeedError` saying what to fetch by hand where neither is to be had.
    """
    try:
        from huggingface_hub import constants, snapshot_download
    except ImportError:
        raise HeedError("This needs the package huggingface_hub: pip install 'heed[encoders]'.") from None
    with suppress(Exception):  # it is not in the cache
        folder = Path(snapshot_download(repository, allow_patterns=list(files), local_files_only=True))
        if any(folder.glob(files[0])):
            return folder
    try:
        urllib.request.urlopen(f"{constants.ENDPOINT}/{repository}/resolve/main/{files[0]}", timeout=_TIMEOUT).close()
        return Path(snapshot_download(repository, allow_patterns=list(files)))
    except Exception as error:
        raise HeedError(
            f"The weights of {what} are not on this machine and could not be downloaded "
            f"({getattr(error, 'reason', None) or str(error).splitlines()[0]}). Fetch {', '.join(files)} of "
            f"{constants.ENDPOINT}/{repository} on a machine with a network and give their folder by its path.",
        ) from None


class _Quiet:
    """Keeps transformers from telling of parameters that a model does not use, such as CLIP's other tower."""

    def __enter__(self) -> None:
        self.logging = transformers().logging
        self.level = self.logging.get_verbosity()
        self.bar = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self.logging.set_verbosity(self.level)
        if self.bar:
            self.logging.enable_progress_bar()
