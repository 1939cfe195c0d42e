"""torchvision's video models, trained on Kinetics-400; the feature is what the classifier would see.

``torchvision:NAME``, ``=PATH`` or ``=random``. r3d_18, mc3_18 and r2plus1d_18 (Tran et al. 2018), s3d (Xie et al.
2018), mvit_v1_b and mvit_v2_s (Fan et al. 2021, Li et al. 2022), swin3d_t, _s and _b (Video Swin, Liu et al. 2022).
Frames are prepared as torchvision's own evaluation prepares them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from features.encoders.encoder import Encoder, EncoderName, EncoderOptions, settled_device
from features.encoders.pixels import Pixels
from features.errors import HeedError
from features.weights import digest, download, load_into, read_weights, warn_random

WINDOWS = {
    "r3d_18": (16, 15.0), "mc3_18": (16, 15.0), "r2plus1d_18": (16, 15.0), "s3d": (128, 15.0),
    "mvit_v1_b": (16, 7.5), "mvit_v2_s": (16, 7.5), "swin3d_t": (32, 15.0), "swin3d_s": (32, 15.0),
    "swin3d_b": (32, 15.0),
}
"""Frames of a window and frames a second, by torchvision's notes on how each was evaluated (``clip_len`` and
``frame_rate``, or frames and their stride in a video of 30 a second)."""


def knows(name: str) -> bool:
    """Whether this is one of torchvision's video models."""
    return name in WINDOWS


def load(name: EncoderName, options: EncoderOptions) -> Encoder:
    """Build the network and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    import torchvision
    from torchvision.models import get_model, get_model_weights

    if name.name not in WINDOWS:
        raise HeedError(f"torchvision's video encoders are {', '.join(WINDOWS)}, not {name.name!r}; a file of weights "
                        "is given as torchvision:NAME=PATH.")
    published = get_model_weights(name.name).DEFAULT
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = get_model(name.name, weights=None)
    if name.weights == "random":
        warn_random(f"The encoder torchvision:{name.name}")
    else:
        expected = published.url.rsplit("-", 1)[1].removesuffix(".pth")  # the beginning of the file's sha256
        path = name.weights or download(published.url, expected, option=f"torchvision:{name.name}=")
        load_into(model, read_weights(path).tensors, name.name)
    dim = _remove_classifier(model)
    device = settled_device(options)
    frames, rate = WINDOWS[name.name]
    identity = {"name": "torchvision", "architecture": name.name, "feature": "pooled, before the classifier",
                "weights": digest(model.state_dict())}
    return Encoder(identity, dim, _pixels(published.transforms()), model.eval().to(device), device, frames, rate,
                   {"torch": torch.__version__, "torchvision": torchvision.__version__})


def _remove_classifier(model: Any) -> int:
    """Take the classifier away; give the length of what it would see."""
    place = next(name for name in ("fc", "head", "classifier") if hasattr(model, name))
    last = [layer for layer in getattr(model, place).modules() if isinstance(layer, nn.Linear | nn.Conv3d)][-1]
    setattr(model, place, nn.Identity())
    return int(last.in_features if isinstance(last, nn.Linear) else last.in_channels)


def _pixels(preset: Any) -> Pixels:
    resize = tuple(preset.resize_size) if len(preset.resize_size) == 2 else preset.resize_size[0]
    return Pixels(resize, tuple(preset.crop_size), tuple(preset.mean), tuple(preset.std), "bilinear", antialias=False)
