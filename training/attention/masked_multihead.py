"""`torch.nn.MultiheadAttention` with a learnable mask: the same parameters, names and arguments, and one mask more.

    attention = MaskedMultiheadAttention(256, 8, 107, MaskConfig("lam"), batch_first=True)
    attention.load_state_dict(plain.state_dict(), strict=False)     # torch's own: only the mask is missing
    output, weights = attention(query, key, value, key_padding_mask=padding)

With an identity start it gives, in float32, bit for bit what torch's module gives where that makes its weights
(``need_weights=True``), as it computes in the same order. It stands in an `nn.TransformerEncoderLayer` as ``self_attn``
too: such a layer's own fast path, which would pass the mask by, is not taken where a module in it has a hook.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.mask import LearnableMask, MatchedControl, changed_scores, changed_weights
from training.attention.mask_config import MaskConfig
from training.attention.masked import masked_attention, route


class MaskedMultiheadAttention(nn.MultiheadAttention):
    """Multi-head attention whose scores a mask made from the queries' tokens (and the keys') changes.

    ``longest`` is the greatest number of keys. ``config.mask`` "lam" and "lam-multi" are the same in one module, which
    makes its own mask unless `forward` is given one that layers share; "none" is torch's module, and "control" has the
    mask's number of parameters in a residual network on the queries' tokens. Further arguments are torch's;
    ``bias_k``, ``bias_v`` and ``add_zero_attn``, which lengthen the keys, are not supported.
    """

    def __init__(self, embed_dim: int, num_heads: int, longest: int, config: MaskConfig, **options: Any) -> None:
        if options.get("add_bias_kv") or options.get("add_zero_attn"):
            raise ValueError("a learnable mask has no column for add_bias_kv or add_zero_attn")
        super().__init__(embed_dim, num_heads, **options)
        self.config = config
        self.learned: LearnableMask | None = None
        self.control: MatchedControl | None = None
        if config.mask != "none":
            made = LearnableMask(embed_dim, longest, num_heads, config, self.kdim)
            if config.mask == "control":
                self.control = MatchedControl(embed_dim, sum(p.numel() for p in made.parameters()))
            else:
                self.learned = made
            self.register_forward_pre_hook(_keeps_off_the_fast_path)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False, mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """As torch's; ``mask`` (batch, 1 or heads, queries, keys) takes the place of the module's own.

        ``key_padding_mask`` and ``attn_mask`` are boolean, True where attention is forbidden, or are added to the
        scores; they act after the learnable mask. A causal hint needs its ``attn_mask``, as in torch.
        """
        if self.control is not None:
            same = key is query, value is query
            query = self.control(query)
            key, value = (query if one else x for one, x in zip(same, (key, value), strict=True))
        if self.learned is None and mask is None:
            return super().forward(query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights,
                                   is_causal)
        single = query.dim() == 2
        if single:
            query, key, value = (x.unsqueeze(0 if self.batch_first else 1) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        tokens = [x if self.batch_first else x.transpose(0, 1) for x in (query, key)]
        if mask is None:
            assert self.learned is not None
            mask = self.learned(tokens[0], None if key is query else tokens[1])
        q, k, v = self._projected(query, key, value)
        bias = self._bias(attn_mask, key_padding_mask, q)
        dropout = self.dropout if self.training else 0.0
        form = route(self.config, q.device, q.dtype, self.head_dim, need_weights, dropout)
        if bias is None and form != "explicit":
            context, weights = masked_attention(q, k, v, mask, self.config, None, dropout, need_weights=False)
        else:
            scores = changed_scores((q * math.sqrt(1 / self.head_dim)) @ k.transpose(-1, -2), mask, self.config)
            weights = changed_weights(torch.softmax(scores if bias is None else scores + bias, -1), mask, self.config)
            context = F.dropout(weights, dropout) @ v if dropout else weights @ v
        out = self.out_proj(context.permute(2, 0, 1, 3).flatten(2))
        out = out.transpose(0, 1) if self.batch_first else out
        if not need_weights or weights is None:
            shown = None
        else:
            shown = weights.mean(1) if average_attn_weights else weights
        if single:
            return out.squeeze(0 if self.batch_first else 1), None if shown is None else shown.squeeze(0)
        return out, shown

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (batch, heads, length, head_dim)."""
        packed = self._qkv_same_embed_dim and query is key and key is value
        inputs = [x.transpose(0, 1) if self.batch_first else x for x in ((query,) if packed else (query, key, value))]
        if packed:  # one product, as torch makes it
            parts = list(F.linear(inputs[0], self.in_proj_weight, self.in_proj_bias).chunk(3, -1))
        else:
            weights = (self.in_proj_weight.chunk(3) if self._qkv_same_embed_dim
                       else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight))
            biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            parts = [F.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]
        q, k, v = (x.unflatten(-1, (self.num_heads, self.head_dim)).permute(1, 2, 0, 3) for x in parts)
        return q, k, v

    def _bias(self, attn_mask: Tensor | None, padding: Tensor | None, like: Tensor) -> Tensor | None:
        """What is added to the scores last: attn_mask (q, k) or (batch * heads, q, k), and padding (batch, k)."""
        parts = []
        if attn_mask is not None:
            shape = (-1, self.num_heads, *attn_mask.shape[-2:]) if attn_mask.dim() == 3 else attn_mask.shape
            parts.append(_added(attn_mask, like).reshape(shape))
        if padding is not None:
            parts.append(_added(padding, like)[:, None, None])
        return sum(parts[1:], parts[0]) if parts else None


def _keeps_off_the_fast_path(module: nn.Module, inputs: tuple) -> None:
    """Do nothing: an `nn.TransformerEncoderLayer` asks in inference only whether there are hooks, not whose class it
    has, before it computes with the module's weights by itself.
    """


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as what is added to scores: -inf where a boolean one is True."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -torch.inf)
