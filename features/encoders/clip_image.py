"""CLIP's image towers (Radford et al. 2021): the image's vector in the space it shares with texts, not normalised.

``clip:FOLDER`` in Hugging Face's layout, ``clip:FILE.pt`` as OpenAI published it, ``clip:vit-b-32`` (or vit-b-16,
vit-l-14) from the Hub; ``clip:FOLDER=random`` and ``clip:vit-b-32=random`` with random weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from features.encoders.encoder import Encoder, EncoderName, EncoderOptions, settled_device
from features.encoders.openai_clip import read_vision
from features.encoders.pixels import Pixels
from features.encoders.processor import read_pixels
from features.errors import HeedError
from features.hugging_face import hub_folder, is_repository, load_pretrained, random_model, read_config, transformers
from features.weights import digest, load_into, warn_random

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit-b-32": ("openai/clip-vit-base-patch32", {"patch_size": 32}),
    "vit-b-16": ("openai/clip-vit-base-patch16", {"patch_size": 16}),
    "vit-l-14": ("openai/clip-vit-large-patch14", {
        "patch_size": 14, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "projection_dim": 768}),
}
"""Name -> repository, and how its configuration differs from transformers' default."""
FILES = ("model.safetensors", "config.json", "preprocessor_config.json", "tokenizer*", "vocab.json", "merges.txt",
         "special_tokens_map.json")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def knows(name: str) -> bool:
    """Whether this is one of CLIP's published vision transformers."""
    return name in MODELS


def load(name: EncoderName, options: EncoderOptions) -> Encoder:
    """Build the image tower and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    library = transformers()
    kind = library.CLIPVisionModelWithProjection
    random = name.weights == "random"
    place = Path(name.name if random or not name.weights else name.weights)
    if not name.weights and (name.name in MODELS or is_repository(name.name)):
        place = hub_folder(MODELS.get(name.name, (name.name,))[0], FILES, f"clip:{name.name}")
    if random and name.name in MODELS:
        model = random_model(kind, library.CLIPVisionConfig(**MODELS[name.name][1]))
    elif place.is_dir():
        whole = read_config(place)
        config = getattr(whole, "vision_config", whole)
        config.projection_dim = whole.projection_dim  # CLIPModel goes by the outer one
        model = (random_model(kind, config) if random
                 else load_pretrained(kind, place, "CLIP's image tower", config))
    elif place.is_file():
        settings, state = read_vision(place)
        model = random_model(kind, library.CLIPVisionConfig(**settings))
        load_into(model, state, f"the image tower in {place}")
    else:
        raise HeedError(f"There is no CLIP {name.name or name.weights!r}; give one of {', '.join(MODELS)}, a folder in "
                        "Hugging Face's layout or a .pt file of OpenAI.")
    if random:
        warn_random(f"The encoder clip:{name.name}")
    size = int(model.config.image_size)
    pixels = (read_pixels(place, (size, size)) if place.is_dir()
              else Pixels(size, (size, size), MEAN, STD, "bicubic"))
    device = settled_device(options)
    model = model.to(device)
    identity = {"name": "clip", "feature": "projected image embedding", "weights": digest(model.state_dict()),
                "architecture": "vit: {num_hidden_layers} layers of {hidden_size}, patches of {patch_size}".format(
                    **model.config.to_dict())}
    return Encoder(identity, int(model.config.projection_dim), pixels, lambda values: model(values).image_embeds,
                   device, versions={"torch": torch.__version__, "transformers": library.__version__})
