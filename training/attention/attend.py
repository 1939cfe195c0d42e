"""One entry point from query, key and value to context and weights, whatever the score function."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attend(query: Tensor, key: Tensor, value: Tensor, score: nn.Module, *, mask: Tensor | None = None,
           scale: float = 1.0, transform: Callable[[Tensor], Tensor] | None = None, dropout: float = 0.0,
           need_weights: bool = True) -> tuple[Tensor, Tensor | None]:
    """Attend from every query to the keys: softmax(scale * transform(score(query, key))) value.

    query (batch, heads, queries, dim), key (batch, heads, keys, dim), value (batch, heads, keys, value_dim); leading
    dimensions broadcast. ``score`` is one of `training.attention.scores`. ``mask`` is boolean, True where a query may
    attend, and broadcasts to (batch, heads, queries, keys); it acts as -inf after everything else done to the scores.
    ``transform`` maps finished scores to scores of the same shape (SCAN's normalisation over queries, for example);
    ``scale`` multiplies its result (an inverse temperature). ``dropout`` is the probability of dropping a weight:
    pass 0 in evaluation.

    Gives the context (batch, heads, queries, value_dim) and the weights (batch, heads, queries, keys), as they are
    before dropout; a query with no allowed key has zero weights and a zero context. Without ``need_weights`` the
    weights are None, and where the score is an unactivated dot product and there is no ``transform``, a fused kernel
    computes the context without ever holding them.
    """
    if not need_weights and transform is None and score.fused_scale is not None:
        query, key = score.fold(query, key)
        return _fused(query, key, value, score.fused_scale * scale, mask, dropout), None
    scores = score(query, key)
    if transform is not None:
        scores = transform(scores)
    weights = masked_softmax(scores if scale == 1 else scores * scale, mask)
    context = (F.dropout(weights, dropout) if dropout else weights) @ value
    return context, weights if need_weights else None


def masked_softmax(scores: Tensor, mask: Tensor | None, dim: int = -1) -> Tensor:
    """Softmax over ``dim``, zero where the boolean mask is False; all zero, with zero gradients, where none is True."""
    if mask is None:
        return torch.softmax(scores, dim)
    safe = mask | ~mask.any(dim, keepdim=True)
    return torch.softmax(scores.masked_fill(~safe, -torch.inf), dim).masked_fill(~mask, 0)


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None, dropout: float) -> Tensor:
    leading = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    query, key, value = (x.expand(*leading, *x.shape[-2:]) for x in (query, key, value))
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scale)
    # A softmax over nothing is NaN in some kernels: such a query sees all keys, and what it finds is thrown away.
    allowed = mask.any(-1, keepdim=True)
    context = F.scaled_dot_product_attention(query, key, value, mask | ~allowed, dropout, scale=scale)
    return context.masked_fill(~allowed, 0)
