"""Inception-v3 as FID sees: beside torch-fidelity 0.4.0's port for weights drawn from names (golden/inception.npz)."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import HeedError
from features.inception import build, load, resized_as_tensorflow

GOLDEN = np.load(Path(__file__).parent / "golden" / "inception.npz")


def drawn(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {}
    for name, old in network.state_dict().items():
        x = np.random.default_rng([7, zlib.crc32(name.encode())]).standard_normal(tuple(old.shape))
        if name.endswith("running_var"):
            x = 1 + 0.2 * np.abs(x)
        elif name.endswith("running_mean"):
            x = 0.1 * x
        elif x.ndim == 1:
            x = 0.1 * x + (1.0 if name.endswith("weight") else 0.0)
        else:
            x = x * np.sqrt(1.5 / np.prod(x.shape[1:])) if x.ndim else x
        if not name.endswith("num_batches_tracked"):
            found[name] = torch.from_numpy(np.asarray(x, np.float32))
    return found


def test_features_and_probabilities_are_torch_fidelitys(tmp_path: Path) -> None:
    tensors = drawn(build("fidelity"))
    names = "\n".join(sorted(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items()))
    assert hashlib.sha256(names.encode()).hexdigest() == str(GOLDEN["names"])
    torch.save(tensors, tmp_path / "weights.pth")
    eye = load(str(tmp_path / "weights.pth"), "cpu")
    picture = np.random.default_rng(8).integers(0, 256, (61, 75, 3), dtype=np.uint8)
    features, probabilities = eye.look([picture])
    assert eye.name == "fidelity"
    np.testing.assert_allclose(features, GOLDEN["features"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(probabilities, GOLDEN["probabilities"], rtol=1e-3, atol=1e-7)


def test_pictures_are_enlarged_corner_on_corner_as_tensorflow_does() -> None:
    row = torch.tensor([0.0, 4.0])[None, None, None].expand(1, 1, 2, 2)
    assert resized_as_tensorflow(row, 4)[0, 0, 0].tolist() == [0, 2, 4, 4]  # half a pixel aside: 0, 1, 3, 4


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.bias": torch.zeros(10)}, tmp_path / "other.pth")
    with pytest.raises(HeedError, match="1008 classes"):
        load(str(tmp_path / "other.pth"))
    with pytest.raises(HeedError, match="no weights file"):
        load(str(tmp_path / "none.pth"))
