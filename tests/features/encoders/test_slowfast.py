"""SlowFast against the published network's outputs and checkpoint layouts.

The goldens come from PySlowFast's network at a width of 16, with weights that `drawn` makes again from their names;
and from PySlowFast's own conversion of Caffe2 names and pytorchvideo's parameter names.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from features.encoders import EncoderOptions, load_encoder
from features.encoders.slowfast import VARIANTS
from features.encoders.slowfast_network import SlowFast, published_names
from features.errors import HeedError
from features.weights import digest

GOLDEN = Path(__file__).parent / "golden"
NAMES = json.loads((GOLDEN / "slowfast_names.json").read_text())


def drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return torch.from_numpy(1 + 0.1 * np.abs(values))
    if "bn" in name:
        return torch.from_numpy(0.1 * values + (1 if name.endswith("weight") else 0)).float()
    return torch.from_numpy(values * np.float32((1 / np.prod(shape[1:])) ** 0.5))


def test_the_output_is_the_published_networks() -> None:
    torch.set_num_threads(1)
    network = SlowFast(4, 7, width=16).eval()
    network.load_state_dict({name: drawn(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()
                             if not name.endswith("tracked")}, strict=False)
    frames = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 32, 64, 64)).astype(np.float32))
    with torch.inference_mode():
        features = network(frames)
    expected = np.load(GOLDEN / "slowfast.npz")["features"]
    assert features.shape == (1, 576) and np.abs(expected).max() > 1
    assert np.abs(features.numpy() - expected).max() < 1e-5


def test_every_parameter_of_the_published_layouts_finds_its_place() -> None:
    with torch.device("meta"):
        state = {name: t for name, t in SlowFast(4, 7).state_dict().items() if not name.endswith("tracked")}
    one = torch.zeros(())
    assert set(published_names(dict.fromkeys(NAMES["pytorchvideo"], one))) == set(state)
    for old, new in NAMES["caffe2"].items():
        assert set(published_names({old: one})) == (set() if new.startswith("head.") else {new}), old
    assert set(published_names(dict.fromkeys(NAMES["caffe2"], one))) == set(state)
    assert state["s5.pathway0_res2.branch2.c.weight"].shape == (2048, 512, 1, 1, 1)


def test_a_caffe2_file_and_a_training_checkpoint_load_as_the_same_encoder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(VARIANTS, "8x8_r50", (4, 7, 8))  # an eighth of the width, for time
    state = {name: drawn(name, tuple(t.shape)) for name, t in SlowFast(4, 7, 8).state_dict().items()
             if not name.endswith("tracked")}
    blobs = {old: state[new].numpy() for old, new in NAMES["caffe2"].items() if new in state}
    blobs |= {"lr": np.float32(0.1), "pred_w": np.zeros((400, 288), np.float32), "conv1_w_momentum": np.zeros(3)}
    (tmp_path / "SLOWFAST_8x8_R50.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    head = {"head.projection.weight": torch.zeros(400, 288)}
    torch.save({"epoch": 196, "model_state": {**state, **head}, "cfg": "MODEL: …"}, tmp_path / "sf.pyth")
    options = EncoderOptions(device="cpu")
    first = load_encoder(f"slowfast:8x8_r50={tmp_path / 'SLOWFAST_8x8_R50.pkl'}", options)
    second = load_encoder(f"slowfast:8x8_r50={tmp_path / 'sf.pyth'}", options)
    assert first.describe() == second.describe()
    assert (first.dim, first.frames, first.rate) == (2304 // 8, 32, 15.0)
    network = SlowFast(4, 7, 8)
    network.load_state_dict(state, strict=False)
    assert first.identity["weights"] == digest(network.state_dict())
    torch.save({"model_state": {"s1.odd": torch.zeros(1)}}, tmp_path / "other.pyth")
    with pytest.raises(HeedError, match="do not fit slowfast:8x8_r50"):
        load_encoder(f"slowfast:8x8_r50={tmp_path / 'other.pyth'}", options)


def test_weights_must_be_named() -> None:
    with pytest.raises(HeedError, match="given as slowfast:8x8_r50=PATH"):
        load_encoder("slowfast:8x8_r50")
