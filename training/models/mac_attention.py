"""How MAC compares one query with many keys: a vector of interaction for each key, then its sum, learned or plain.

MAC never takes a plain dot product. Its original interaction is the element-wise product q * k, and the score is
w.(q * k) + c with a learned w (Hudson and Manning 2018, equations c2.1 and r3.1). The attention study puts its score
functions in place of the product (section 1.3 of its notes): with f the score function before its sum,

    score = w.act(f(q, k)) + c          f: q * k,  q * k / sqrt(d),  q * (W k),  (W q) * k,  q * (W k + b),  …

where act is the read unit's ELU and nothing in the control unit. The activation of activated_general is on the vector,
before the sum, as published; in `training.attention.scores` it is on the finished score. With the plain sum and no act,
every other score is exactly that of `training.attention.scores`, and "elementwise" is "dot" with the learned sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from training.attention.attend import masked_softmax
from training.attention.config import AttentionConfig
from training.attention.scores import build_score
from training.models.mac_config import Combiner


class UnitAttention(nn.Module):
    """Attention of one state over many keys in a unit of MAC.

    ``between`` acts on the vectors of interaction before ``dropout`` and the sum.
    """

    def __init__(
        self, dim: int, config: AttentionConfig, combiner: Combiner, between: Callable[[Tensor], Tensor] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.between = between
        self.dropout = nn.Dropout(dropout)
        self.score = build_score(replace(config, score="dot") if config.score == "elementwise" else config, dim)
        self.combine: nn.Linear | None = None
        if hasattr(self.score, "pair"):
            self.combine = self.score.combine  # additive and concat have a learned sum of their own
        elif combiner == "linear" or config.score == "elementwise":
            self.combine = learned_sum(dim)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Weights (..., keys) of query (..., dim) over keys (..., keys, dim); zero where the mask (..., keys) is False.

        Leading dimensions broadcast.
        """
        vectors = self.vectors(query.unsqueeze(-2), keys)
        vectors = self.dropout(vectors if self.between is None else self.between(vectors))
        scores = vectors.sum(-1) if self.combine is None else self.combine(vectors).squeeze(-1)
        return masked_softmax(scores, mask)

    def vectors(self, query: Tensor, keys: Tensor) -> Tensor:
        """Vectors of interaction (..., keys, dim) of query (..., 1, dim) and keys (..., keys, dim)."""
        query, keys = self.score.fold(query, keys)
        if hasattr(self.score, "pair"):
            return torch.tanh(query + keys)
        return self.score.finish(query * keys)


def learned_sum(dim: int) -> nn.Linear:
    """w.x + c, first drawn as published: Xavier for a vector, which is uniform to sqrt(3 / dim), and c = 0."""
    layer = nn.Linear(dim, 1)
    nn.init.uniform_(layer.weight, -math.sqrt(3 / dim), math.sqrt(3 / dim))
    nn.init.zeros_(layer.bias)
    return layer


def xavier(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """The layer with weights by Xavier and biases at zero, as published MAC begins everywhere."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
