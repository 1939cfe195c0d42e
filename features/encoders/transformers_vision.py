"""Image and video transformers of the library transformers, from a folder in Hugging Face's layout.

``transformers:FOLDER``, ``transformers:FOLDER=random`` (its config.json only), or ``transformers:OWNER/NAME`` from the
Hub. The feature is the class token, the mean over all tokens, or the model's own pooling, as `MODELS` says for each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from features.encoders.encoder import Encoder, EncoderName, EncoderOptions, settled_device
from features.encoders.processor import read_pixels
from features.errors import HeedError
from features.hugging_face import hub_folder, is_repository, load_pretrained, random_model, read_config, transformers
from features.weights import digest, warn_random

MODELS: dict[str, tuple[str, str, dict[str, Any], float]] = {
    "vit": ("ViTModel", "class token", {"add_pooling_layer": False}, 0),
    "deit": ("DeiTModel", "class token", {"add_pooling_layer": False}, 0),
    "dinov2": ("Dinov2Model", "class token", {}, 0),
    "siglip": ("SiglipVisionModel", "pooled", {}, 0),
    "siglip_vision_model": ("SiglipVisionModel", "pooled", {}, 0),
    "convnext": ("ConvNextModel", "pooled", {}, 0),
    "swin": ("SwinModel", "pooled", {}, 0),
    "videomae": ("VideoMAEModel", "mean of tokens", {}, 7.5),
    "timesformer": ("TimesformerModel", "class token", {}, 30 / 32),
    "vivit": ("VivitModel", "class token", {"add_pooling_layer": False}, 15.0),
}
"""Model type in config.json -> class, feature, arguments, and for videos the frames a second of its training (the
authors sampled every 4th, 32nd and 2nd frame of 30 a second)."""


def knows(name: str) -> bool:
    """Whether this looks like a repository of the Hub."""
    return is_repository(name)


def load(name: EncoderName, options: EncoderOptions) -> Encoder:
    """Build the network and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    library = transformers()
    random = name.weights == "random"
    place = Path(name.name if random or not name.weights else name.weights)
    if not place.is_dir():
        if not is_repository(name.name):
            raise HeedError("transformers' encoders are given by a folder or as OWNER/NAME of the Hub, not by "
                            f"{name.name!r}.")
        place = hub_folder(name.name, ("model.safetensors", "config.json", "preprocessor_config.json"), name.name)
    config = read_config(place)
    if config.model_type not in MODELS:
        raise HeedError(f"{place} is a {config.model_type}; of transformers' models heed encodes frames with "
                        f"{', '.join(MODELS)}.")
    config = getattr(config, "vision_config", config)
    kind, feature, settings, rate = MODELS[config.model_type]
    model = (random_model(getattr(library, kind), config, **settings) if random
             else load_pretrained(getattr(library, kind), place, kind, config, **settings))
    if random:
        warn_random(f"The encoder transformers:{name.name}")
    side = getattr(config, "image_size", None) if config.model_type != "convnext" else None
    size = (side, side) if isinstance(side, int) else tuple(side) if side else None
    frames = int(getattr(config, "num_frames", 1)) if rate else 1
    device = settled_device(options)
    model = model.to(device)

    def forward(values: Tensor) -> Tensor:
        found = model(values.transpose(1, 2) if rate else values)
        if feature == "pooled":
            return found.pooler_output
        tokens = found.last_hidden_state
        return tokens[:, 0] if feature == "class token" else tokens.mean(1)

    identity = {"name": "transformers", "architecture": config.model_type, "feature": feature,
                "weights": digest(model.state_dict())}
    dim = int(config.hidden_sizes[-1] if config.model_type == "convnext" else config.hidden_size)
    return Encoder(identity, dim, read_pixels(place, size), forward, device, frames, rate,
                   {"torch": torch.__version__, "transformers": library.__version__})
