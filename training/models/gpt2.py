"""GPT-2 (Radford et al. 2019), under the parameter names of transformers' ``GPT2LMHeadModel``, whose weights it takes.

The describer gives it vectors, not tokens, in front of what it is to go on with; keys and values of what was read
already are kept in a `Cache`, so that a sentence of n tokens costs n steps of one token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEVIATION = 0.02
"""Of first weights; of what is added to the stream divided by the root of the number of additions."""


class Cache:
    """Keys and values (batch, heads, length, d) of each layer."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def with_new(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones last."""
        if layer in self.layers:
            key, value = (torch.cat(pair, 2) for pair in zip(self.layers[layer], (key, value), strict=True))
        self.layers[layer] = key, value
        return key, value

    def take(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch; one may come several times."""
        self.layers = {layer: (key[rows], value[rows]) for layer, (key, value) in self.layers.items()}


class Conv1D(nn.Module):
    """A linear layer whose matrix is stored (in, out), as the released weights have it."""

    def __init__(self, given: int, out: int, deviation: float = DEVIATION) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(given, out).normal_(std=deviation))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        return F.linear(x, self.weight.T, self.bias)


class Attention(nn.Module):
    """Self-attention to what stands before."""

    def __init__(self, dim: int, heads: int, dropout: float, deviation: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.c_attn, self.c_proj = Conv1D(dim, 3 * dim), Conv1D(dim, dim, deviation)

    def forward(self, x: Tensor, allowed: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """(batch, length, dim); ``allowed`` (batch, 1, length, keys) bool."""
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in
                             self.c_attn(x).chunk(3, -1))
        if cache is not None:
            key, value = cache.with_new(layer, key, value)
        found = F.scaled_dot_product_attention(query, key, value, allowed, self.dropout if self.training else 0.0)
        return self.c_proj(found.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two layers with the tanh form of GELU between them."""

    def __init__(self, dim: int, deviation: float) -> None:
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(dim, 4 * dim), Conv1D(4 * dim, dim, deviation)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim)."""
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """A layer."""

    def __init__(self, dim: int, heads: int, dropout: float, deviation: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn, self.mlp = Attention(dim, heads, dropout, deviation), FeedForward(dim, deviation)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, allowed: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """(batch, length, dim)."""
        x = x + self.drop(self.attn(self.ln_1(x), allowed, cache, layer))
        return x + self.drop(self.mlp(self.ln_2(x)))


class Gpt2(nn.Module):
    """Of ``words`` tokens and at most ``longest`` positions; embeddings are the last layer's matrix too."""

    def __init__(self, words: int, longest: int, dim: int, layers: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.longest = longest
        deviation = DEVIATION / (2 * layers) ** 0.5
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(words, dim), "wpe": nn.Embedding(longest, dim),
            "h": nn.ModuleList(Block(dim, heads, dropout, deviation) for _ in range(layers)),
            "ln_f": nn.LayerNorm(dim)})
        self.lm_head = nn.Linear(dim, words, bias=False)
        self.drop = nn.Dropout(dropout)
        for name in ("wte", "wpe"):
            nn.init.normal_(self.transformer[name].weight, std=DEVIATION)
        self.lm_head.weight = self.transformer["wte"].weight

    @property
    def width(self) -> int:
        """Length of a token's vector."""
        return int(self.lm_head.weight.shape[1])

    def embedded(self, tokens: Tensor) -> Tensor:
        """Tokens (…) int64 as vectors (…, width), without their positions."""
        found: Tensor = self.transformer["wte"](tokens)
        return found

    def forward(self, inputs: Tensor, valid: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits (batch, length, words) of what follows each of ``inputs`` (batch, length, width).

        ``valid`` (batch, keys) bool says where there is something, among what is in ``cache`` and then the inputs; a
        token's position is its place among those. The first of a row is always there.
        """
        length, keys = inputs.shape[1], valid.shape[1]
        places = (valid.long().cumsum(1) - 1)[:, keys - length:]
        x = self.drop(inputs + self.transformer["wpe"](places.clamp(min=0)))
        before = torch.ones(length, keys, dtype=torch.bool, device=inputs.device).tril(keys - length)
        allowed = valid[:, None, None] & before
        for number, block in enumerate(self.transformer["h"]):
            x = block(x, allowed, cache, number)
        return self.lm_head(self.transformer["ln_f"](x))
