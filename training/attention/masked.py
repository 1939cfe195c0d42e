"""Scaled dot-product attention with a learnable mask in it: the explicit form, and the fused ones where there are any.

| combine | where | how |
|---|---|---|
| add | any device | scaled_dot_product_attention with a float mask; not in its flash kernel |
| multiply | CUDA, 16-bit floats, heads of 16 or more | FlexAttention with a score_mod: no scores in memory, but M |
| multiply | CUDA, float32 | explicit: FlexAttention takes 7 to 33 times as long there |
| multiply | CUDA, narrower heads or dropout | explicit: FlexAttention has neither |
| multiply | CPU | explicit: FlexAttention has no backward on a CPU |
| reweigh | - | explicit: a change behind the softmax fits no fused kernel |

Weights are only there in the explicit form. In bfloat16 or float16 that form makes scores, mask and softmax in float32.
What each costs on a GPU stands in docs/lam.md.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from features.errors import HeedError
from training.attention.attend import masked_softmax
from training.attention.mask import changed_scores, changed_weights
from training.attention.mask_config import MaskConfig

Route = Literal["explicit", "sdpa", "flex"]

FORMS: dict[str, tuple[Route, ...]] = {
    "add": ("explicit", "sdpa"), "multiply": ("explicit", "flex"), "reweigh": ("explicit",)}
"""How a mask is combined -> the forms that compute it."""
NARROWEST = 16
"""The least dimension of a head that FlexAttention takes."""
SHORT_FLOATS = (torch.float16, torch.bfloat16)


def route(
    config: MaskConfig, device: torch.device, dtype: torch.dtype, dim: int, need_weights: bool = False,
    dropout: float = 0.0,
) -> Route:
    """Which form `masked_attention` takes for a mask, of queries in ``dtype`` with heads of ``dim``.

    FlexAttention knows no dropout.
    """
    if need_weights or config.combine == "reweigh":
        return "explicit"
    if config.combine == "add":
        return "sdpa"
    fits = device.type == "cuda" and dtype in SHORT_FLOATS and dim >= NARROWEST and not dropout
    return "flex" if fits else "explicit"


def masked_attention(
    query: Tensor, key: Tensor, value: Tensor, learned: Tensor | None, config: MaskConfig,
    allowed: Tensor | None = None, dropout: float = 0.0, need_weights: bool = True, form: Route | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attend: softmax(Q K' / sqrt(d) changed by ``learned``) V.

    query (batch, heads, queries, d), key and value (batch, heads, keys, d); ``learned`` (batch, 1 or heads, queries,
    keys) from `LearnableMask`, None for plain attention; ``allowed`` is boolean, True where a query may attend, and
    broadcasts to the scores: it acts as -inf after ``learned``. ``dropout`` is the probability of dropping a weight.
    ``form`` overrides `route`. Gives the context (batch, heads, queries, d) and, if asked for, the weights (batch,
    heads, queries, keys) before dropout; a query that may attend to nothing has zero weights and context. Raises
    `HeedError` where the mask has not the form that is asked for.
    """
    form = form or route(config, query.device, query.dtype, query.shape[-1], need_weights, dropout)
    if learned is not None and form not in FORMS[config.combine]:
        raise HeedError(f"A mask with combine {config.combine} has no {form} form; route says which it has.")
    if form == "sdpa" or (learned is None and not need_weights):
        return _sdpa(query, key, value, learned, allowed, dropout), None
    if form == "flex":
        assert learned is not None
        return _flex(query, key, value, learned, allowed), None
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if learned is not None:
        scores, learned = (x.float() if x.dtype in SHORT_FLOATS else x for x in (scores, learned))
    weights = masked_softmax(changed_scores(scores, learned, config), allowed)
    weights = changed_weights(weights, learned, config)
    context = (F.dropout(weights, dropout) if dropout else weights).to(value.dtype) @ value
    return context, weights if need_weights else None


def _sdpa(
    query: Tensor, key: Tensor, value: Tensor, learned: Tensor | None, allowed: Tensor | None, dropout: float
) -> Tensor:
    if allowed is None:
        mask = None if learned is None else learned.to(query.dtype)
        return F.scaled_dot_product_attention(query, key, value, mask, dropout)
    # A softmax over nothing is NaN in some kernels: such a query sees all keys, and what it finds is thrown away.
    some = allowed.any(-1, keepdim=True)
    visible = allowed | ~some
    mask = visible if learned is None else learned.to(query.dtype).masked_fill(~visible, -torch.inf)
    return F.scaled_dot_product_attention(query, key, value, mask, dropout).masked_fill(~some, 0)


def _flex(query: Tensor, key: Tensor, value: Tensor, learned: Tensor, allowed: Tensor | None) -> Tensor:
    batch, _, queries = query.shape[:3]
    masks = learned.shape[1]
    visible = some = None
    if allowed is not None:
        some = allowed.any(-1, keepdim=True)
        visible = (allowed | ~some).expand(batch, -1, queries, key.shape[2])
    own = 0 if visible is None or visible.shape[1] == 1 else 1

    def change(score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        changed = score * learned[b, h if masks > 1 else 0, q, k]
        if visible is None:
            return changed
        return torch.where(visible[b, h * own, q, k], changed, -torch.inf)

    context = _flex_kernel(query.is_cuda)(query, key, value, score_mod=change)
    return context if some is None else context.masked_fill(~some, 0)


@cache
def _flex_kernel(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention
