"""Multi-head attention with a learnable mask in it, named as in `torch.nn.MultiheadAttention`, or as in BERT.

A checkpoint of a model with torch's own module loads into `Multihead` unchanged, one of BERT into `Projected`. On a CPU
they compute the explicit form, so that with a mask that changes nothing they give the bits of plain attention. On a GPU
they take `scaled_dot_product_attention` for no mask and for one that is added, unless somebody looks (`form`); there
the two agree but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.mask_config import MaskConfig
from training.attention.masked import Route, masked_attention


@dataclass(frozen=True)
class Seen:
    """What one call of an attention saw, kept for `training.attention.mask_maps`."""

    weights: Tensor
    """(batch, heads, queries, keys)."""
    without: Tensor
    """The weights as they would be without the mask."""
    mask: Tensor | None
    """(batch, 1 or heads, queries, keys); None for plain attention."""
    allowed: Tensor | None
    """Bool, broadcasts to the weights; None where no key is padding."""


class Multihead(nn.Module):
    """Attention from queries (batch, queries, dim) to keys and values (batch, keys, dim)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, config: MaskConfig | None = None) -> None:
        super().__init__()
        self.heads, self.dropout, self.config = heads, dropout, config or MaskConfig()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)
        self.seen: list[Seen] | None = None
        """Where every call is to be kept, while somebody looks."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None, learned: Tensor | None = None
    ) -> Tensor:
        """(batch, queries, dim). ``valid``, bool (batch, keys) or (batch, heads, queries, keys), is True where a key is
        no padding; ``learned`` is the mask (batch, 1 or heads, queries, keys).
        """
        parts = zip((query, key, value), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (F.linear(*part).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.out_proj(attended(self, q, k, v, valid, learned))


class Attended(nn.Module):
    """The same without projections in front, as Conditional DETR's decoder has it: ``out_proj`` is its only layer."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout, self.config = heads, dropout, MaskConfig()
        self.out_proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.out_proj.bias)
        self.seen: list[Seen] | None = None

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None) -> Tensor:
        """(batch, queries, dim) of query and key (batch, heads, length, n), value (batch, heads, keys, dim / heads)."""
        return self.out_proj(attended(self, query, key, value, valid, None))


class Projected(nn.Module):
    """Self-attention as BERT has it: projections of their own names in front, no output layer behind."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, config: MaskConfig | None = None) -> None:
        super().__init__()
        self.heads, self.dropout, self.config = heads, dropout, config or MaskConfig()
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.seen: list[Seen] | None = None

    def forward(
        self, x: Tensor, valid: Tensor | None = None, learned: Tensor | None = None,
        behind: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(batch, length, dim); ``valid`` and ``learned`` as in `Multihead`.

        ``behind`` are `keys` and values of tokens that are attended to as well, behind those of ``x``.
        """
        q, k, v = (self._heads(layer, x) for layer in (self.query, self.key, self.value))
        if behind is not None:
            k, v = (torch.cat(pair, 2) for pair in zip((k, v), behind, strict=True))
        return attended(self, q, k, v, valid, learned)

    def keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, heads, length, dim / heads) of tokens (batch, length, dim)."""
        return self._heads(self.key, x), self._heads(self.value, x)

    def _heads(self, layer: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return out


def form(config: MaskConfig, device: torch.device, masked: bool, looked_at: bool) -> Route:
    """Which form `attended` takes, with a mask or without, and where its weights are looked at or are not.

    On a GPU a mask that is multiplied stays explicit: its fused form saves memory but hardly any time, and whoever
    needs the memory calls `masked_attention`.
    """
    fused = device.type == "cuda" and not looked_at and (not masked or config.combine == "add")
    return "sdpa" if fused else "explicit"


def attended(
    module: Multihead | Attended | Projected, q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None,
    learned: Tensor | None,
) -> Tensor:
    """The heads' contexts side by side, (batch, queries, dim); kept in ``module.seen`` where somebody looks."""
    allowed = valid[:, None, None] if valid is not None and valid.dim() == 2 else valid
    dropout = module.dropout if module.training else 0.0
    chosen = form(module.config, q.device, learned is not None, module.seen is not None)
    context, weights = masked_attention(q, k, v, learned, module.config, allowed, dropout, form=chosen)
    if module.seen is not None and weights is not None:
        plain = masked_attention(q, k, v, None, module.config, allowed)[1] if learned is not None else weights
        assert plain is not None
        module.seen.append(Seen(weights, plain, learned, allowed))
    return context.transpose(1, 2).flatten(2)
