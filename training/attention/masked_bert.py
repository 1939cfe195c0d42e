"""Hugging Face's BERT with a learnable mask in every self-attention layer: the same model, and masks more.

    model = transformers.BertModel.from_pretrained(FOLDER)
    masks = mask_bert(model, MaskConfig("lam"), longest=512)     # model.heed_masks, trained and saved with the model
    loss = loss + masks.loss()

The mask of a layer is made from the layer's input (lam-multi) or once from the embeddings (lam). The model is
switched to an attention function of heed's, which computes as the library's "eager" one does: with an identity start it
gives, in float32, bit for bit the same. Padding stays masked last. Models with a cache of past keys (decoders that
generate token by token) are refused: a mask's rows are made of tokens that a cache no longer has.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.mask import LayerMasks, changed_scores, changed_weights
from training.attention.mask_config import MaskConfig

NAME = "heed_learnable_mask"
"""Of the attention function, in the library's register and in a model's configuration."""


def mask_bert(model: nn.Module, config: MaskConfig, longest: int = 0) -> LayerMasks:
    """Put masks into a BERT-like model (one with ``encoder.layer[i].attention.self``, itself or as its ``bert``).

    ``longest`` is the greatest number of tokens; 0 takes the configuration's max_position_embeddings. Gives the masks,
    which are also ``heed_masks`` of the encoder's model. Raises `HeedError` for a model without such layers.
    """
    inner: Any = model if hasattr(model, "encoder") else getattr(model, getattr(model, "base_model_prefix", ""), None)
    layers = getattr(getattr(inner, "encoder", None), "layer", None)
    if not layers or not hasattr(layers[0], "attention") or not hasattr(layers[0].attention, "self"):
        raise HeedError(f"{type(model).__name__} has no encoder.layer[i].attention.self as BERT has.")
    if hasattr(inner, "heed_masks"):
        raise HeedError(f"This {type(model).__name__} has learnable masks already.")
    settings = inner.config
    masks = LayerMasks(config, len(layers), settings.hidden_size, longest or settings.max_position_embeddings,
                       settings.num_attention_heads)
    inner.heed_masks = masks
    _register()
    settings._attn_implementation = NAME
    shared: list[Tensor | None] = [None]
    for number, layer in enumerate(layers):
        layer.attention.self.heed_config = config
        layer.attention.self.heed_mask = None
        layer.register_forward_pre_hook(partial(_before, masks, shared, number), with_kwargs=True)
    return masks


def _before(
    masks: LayerMasks, shared: list[Tensor | None], number: int, layer: Any, inputs: tuple, named: dict[str, Any],
) -> tuple[tuple, dict[str, Any]]:
    """Before a layer, make its mask from its input and hand it to its attention."""
    if named.get("past_key_values") is not None:
        raise HeedError("A learnable mask cannot be used with past_key_values; pass use_cache=False.")
    tokens = inputs[0] if inputs else named["hidden_states"]
    padding = inputs[1] if len(inputs) > 1 else named.get("attention_mask")
    valid = None if padding is None else (padding if padding.dtype == torch.bool else padding == 0)
    if number == 0:
        shared[0] = masks.begin(tokens, valid=valid)
    tokens, layer.attention.self.heed_mask = masks.layer(number, tokens, shared[0], valid=valid)
    return ((tokens, *inputs[1:]), named) if inputs else (inputs, {**named, "hidden_states": tokens})


def attention_forward(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, **_: Any,
) -> tuple[Tensor, Tensor]:
    """The library's eager attention with the module's mask in its scores.

    query, key and value (batch, heads, length, head_dim), ``attention_mask`` added last; gives the context (batch,
    length, heads, head_dim) and the weights (batch, heads, queries, keys).
    """
    learned, module.heed_mask = getattr(module, "heed_mask", None), None
    config: MaskConfig = getattr(module, "heed_config", MaskConfig())
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = changed_scores(scores, learned, config)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = changed_weights(torch.softmax(scores, -1), learned, config)
    context = F.dropout(weights, dropout, module.training) @ value
    return context.transpose(1, 2).contiguous(), weights


def _register() -> None:
    """Tell the library of the function, and that its padding is wanted as numbers to add, as for its eager one."""
    try:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface, eager_mask
    except ImportError as error:
        raise HeedError("A mask in BERT needs transformers 4.53 or later: pip install 'heed[encoders]'.") from error
    AttentionInterface.register(NAME, attention_forward)
    AttentionMaskInterface.register(NAME, eager_mask)
