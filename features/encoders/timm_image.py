"""timm's image models, each with its own preprocessing; the feature is what its classifier would see (pooled).

``timm:NAME``, with or without a tag of weights (vit_small_patch16_224.augreg_in21k_ft_in1k); ``timm:NAME=PATH`` with a
state dict in timm's published layout, whose classifier is left out; ``timm:NAME=random``; or ``timm:FOLDER``, a copy of
a repository of the Hub (config.json and model.safetensors).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from features.encoders.encoder import Encoder, EncoderName, EncoderOptions, settled_device
from features.encoders.pixels import Pixels
from features.errors import HeedError
from features.hugging_face import hub_folder
from features.weights import digest, load_into, read_weights, warn_random


def knows(name: str) -> bool:
    """Whether timm has an architecture of this name (a tag of weights may follow a dot)."""
    return name.partition(".")[0] in names()


def names() -> list[str]:
    """All architectures of timm."""
    return _timm().list_models()


def load(name: EncoderName, options: EncoderOptions) -> Encoder:
    """Build the network and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    timm = _timm()
    settings: dict[str, Any] = {}
    architecture, weights = name.name, name.weights
    if not architecture or Path(architecture).is_dir():
        architecture, settings, weights = _from_folder(Path(architecture or weights), weights)
    if architecture.partition(".")[0] not in names():
        raise HeedError(f"timm {timm.__version__} has no architecture {architecture!r}; timm.list_models() lists them.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **settings)
    config: dict[str, Any] = {**model.pretrained_cfg}
    if weights == "random":
        warn_random(f"The encoder timm:{architecture}")
    else:
        _load_weights(model, Path(weights) if weights else _published(architecture, config), architecture, config)
    device = settled_device(options)
    identity = {"name": "timm", "architecture": architecture, "feature": "pooled, before the classifier",
                "weights": digest(model.state_dict())}
    return Encoder(identity, _dim(model, config), pixels_of(config), model.eval().to(device), device,
                   versions={"torch": torch.__version__, "timm": timm.__version__})


def pixels_of(config: dict[str, Any]) -> Pixels:
    """Preprocessing by a model's ``pretrained_cfg``, as timm.data.create_transform evaluates it."""
    crop = tuple(config["input_size"][1:])
    scaled = tuple(math.floor(side / config.get("crop_pct", 0.875)) for side in crop)
    mode = config.get("crop_mode") or "center"
    if mode == "border" or (mode == "center" and scaled[0] != scaled[1]):
        raise HeedError(f"The encoder {config.get('architecture')} fills up its images ({mode!r}, {crop}), which heed "
                        "does not do.")
    return Pixels(scaled if mode == "squash" else scaled[0], crop, tuple(config["mean"]), tuple(config["std"]),
                  config.get("interpolation", "bicubic"))


def _dim(model: Any, config: dict[str, Any]) -> int:
    with torch.inference_mode():
        return int(model.eval()(torch.zeros(1, *config["input_size"])).shape[1])


def _from_folder(folder: Path, weights: str) -> tuple[str, dict[str, Any], str]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = {**config.get("model_args", {}), "pretrained_cfg_overlay": config.get("pretrained_cfg", {})}
        return config["architecture"], settings, weights or str(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{folder} is no folder of a timm model (config.json with its architecture): {error!r}. A file "
                        "of weights alone is given as timm:ARCHITECTURE=PATH.") from None


def _published(architecture: str, config: dict[str, Any]) -> Path:
    if not config.get("hf_hub_id"):
        raise HeedError(f"There are no published weights of timm:{architecture}; give timm:{architecture}=PATH or "
                        f"timm:{architecture}=random.")
    return hub_folder(config["hf_hub_id"], ["model.safetensors"], f"timm:{architecture}")


def _load_weights(model: Any, path: Path, architecture: str, config: dict[str, Any]) -> None:
    tensors = read_weights(path / "model.safetensors" if path.is_dir() else path).tensors
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    wanted = model.state_dict()
    load_into(model, {key: tensor for key, tensor in tensors.items()
                      if key in wanted or not key.startswith(tuple(f"{head}." for head in heads))}, architecture)


def _timm() -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        raise HeedError(f"timm's encoders need the package timm ({error}): pip install 'heed[encoders]'.") from None
    return timm
