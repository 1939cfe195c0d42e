"""CLIP's text towers (Radford et al. 2021), as QVHighlights' text features were made with them.

``clip:FOLDER`` in Hugging Face's layout, with its tokeniser; ``clip:vit-b-32``, ``vit-b-16`` or ``vit-l-14`` from the
Hub; ``clip:FOLDER=random``. A token's vector is its state behind the last layer normalisation, <start> and <end>
included (``last_hidden_state`` of the published files); the whole text's is that of <end>, projected
(``pooler_output`` there, the text's vector in the space it shares with images, not normalised). Texts are cut at 77
tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from features.encoders.clip_image import MODELS
from features.encoders.encoder import EncoderName, EncoderOptions, settled_device
from features.hugging_face import load_pretrained, random_model, read_config, transformers
from features.text.encoders.encoder import TextEncoder, folder_of, read_tokenizer, vocabulary_digest
from features.weights import digest, warn_random


def load(name: EncoderName, options: EncoderOptions) -> TextEncoder:
    """Build the text tower and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    library = transformers()
    folder = folder_of(name, {short: repository for short, (repository, _) in MODELS.items()})
    whole = read_config(folder)
    config = getattr(whole, "text_config", whole)
    config.projection_dim = whole.projection_dim  # CLIPModel goes by the outer one
    kind = library.CLIPTextModelWithProjection
    if name.weights == "random":
        warn_random(f"The text encoder clip:{name.name}")
        model = random_model(kind, config)
    else:
        model = load_pretrained(kind, folder, "CLIP's text tower", config)
    device = settled_device(options)
    model = model.to(device)
    tokenizer = read_tokenizer(folder)

    def forward(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        found = model(input_ids=ids, attention_mask=mask)
        return found.last_hidden_state, found.text_embeds

    identity = {"name": "clip", "feature": "states behind the last normalisation; projected <end>",
                "architecture": f"text: {config.num_hidden_layers} layers of {config.hidden_size}",
                "weights": digest(model.state_dict()), "vocabulary": vocabulary_digest(tokenizer)}
    return TextEncoder(identity, int(config.hidden_size), int(config.projection_dim), tokenizer, forward,
                       int(config.max_position_embeddings), device,
                       {"torch": torch.__version__, "transformers": library.__version__})
