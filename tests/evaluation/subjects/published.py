"""Folders that look like published ones: a config.json and weights under the names that the originals gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.evaluation.subjects import rule

HERE = Path(__file__).parent / "goldens"


def golden(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A golden's facts and its arrays."""
    with np.load(HERE / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "meta"}
        return json.loads(str(file["meta"])), arrays


def state_dict(meta: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict that gave the golden, tied weights stored twice as the originals' `torch.save` does."""
    tensors = rule.weights({name: shape for name, shape in meta["shapes"].items() if name not in meta["tied"]})
    return {name: tensors[meta["tied"].get(name, name)].clone() for name in meta["shapes"]}


def folder(path: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> Path:
    """Write ``tensors`` and ``config`` there."""
    path.mkdir(exist_ok=True)
    torch.save(tensors, path / "pytorch_model.bin")
    (path / "config.json").write_text(json.dumps(config))
    return path
