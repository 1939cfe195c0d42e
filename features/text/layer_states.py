"""The states of one layer of a BERT or RoBERTa, piece by piece: what BERTScore compares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import torch

from features.encoders.encoder import EncoderName
from features.errors import HeedError
from features.hugging_face import load_pretrained, read_config, transformers
from features.text.encoders.bert import KINDS, PUBLISHED
from features.text.encoders.encoder import folder_of, read_tokenizer

NAMES = {**PUBLISHED, "roberta-base": "FacebookAI/roberta-base", "roberta-large": "FacebookAI/roberta-large"}
LONGEST = 512
States = list[tuple[np.ndarray, np.ndarray]]


def layer_states(model: str, layer: int, device: str = "cpu") -> Callable[[Sequence[str]], States]:
    """A function of texts that gives, of each, its pieces' states (pieces, d) float32 behind layer ``layer`` (from 1),
    [CLS] and [SEP] among them, and which pieces are such special ones (pieces,) bool.

    ``model`` is a folder in Hugging Face's layout, OWNER/NAME of the Hub, or a published name. RoBERTa is shown texts
    with a space in front, as BERTScore does, for its pieces know whether one stood before them. Raises `HeedError`
    where transformers or the weights are not to be had, or the network has fewer layers.
    """
    library, folder = transformers(), folder_of(EncoderName("bert", model, "default"), NAMES)
    config = read_config(folder)
    if config.model_type not in KINDS:
        raise HeedError(f"{folder} is a {config.model_type}; states are read of {', '.join(KINDS)}.")
    layers = int(getattr(config, "num_hidden_layers", 0) or getattr(config, "n_layers", 0))
    if not 1 <= layer <= layers:
        raise HeedError(f"{folder} has {layers} layers; there is no layer {layer}.")
    kind = getattr(library, KINDS[config.model_type])
    pools = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    settings = {"add_pooling_layer": False} if pools else {}
    network = load_pretrained(kind, folder, KINDS[config.model_type], config, **settings).to(device)
    tokenizer = read_tokenizer(folder)
    most = min(tokenizer.model_max_length, LONGEST)
    before = " " if config.model_type == "roberta" else ""
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id]

    def states(texts: Sequence[str]) -> States:
        shown = [before + text.strip() if text.strip() else "" for text in texts]
        read = tokenizer(shown, padding=True, truncation=True, max_length=most, return_tensors="pt",
                         return_token_type_ids=False)
        ids, mask = read["input_ids"], read["attention_mask"]
        with torch.inference_mode():
            found = network(input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True)
        of_layer = found.hidden_states[layer].float().cpu().numpy()
        return [(row[:count], np.isin(pieces[:count], special)) for row, pieces, count
                in zip(of_layer, ids.numpy(), mask.sum(1).tolist(), strict=True)]

    return states
