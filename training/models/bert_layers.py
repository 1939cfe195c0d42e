"""BERT's layers (Devlin et al. 2019) with the score function of their self-attention as a parameter.

Modules are named as published weights name them. LayerNorm's epsilon is 1e-12 and GELU the exact one, as in BERT. A
layer takes the positions that ask and, apart from them, the keys and values that they look at, so that positions nobody
else sees (a decoder's) can be computed on their own, however often, against what was computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.attend import attend
from training.attention.config import AttentionConfig
from training.attention.scores import build_score

EPSILON = 1e-12
_WITH_W = ("general", "biased_general", "activated_general")
SCALED_DOT = AttentionConfig("scaled_dot", init="normal_002")
"""BERT's own score function."""


@dataclass(frozen=True)
class BertShape:
    """The sizes of a stack of layers."""

    width: int
    """Of a position's state."""
    heads: int
    """Of the self-attention; they divide ``width``."""
    feedforward: int
    """Width of the layer between two linear ones."""
    layers: int
    dropout: float
    """Of states and of attention weights."""


@dataclass(frozen=True)
class Seen:
    """What positions look at in one layer."""

    keys: Tensor
    """(batch, heads, positions, width / heads)."""
    values: Tensor
    """(batch, heads, positions, width / heads)."""


class SelfAttention(nn.Module):
    """Query, key and value projections and one score function shared by the heads.

    With ``swap_roles`` and W on the query side the score is the study's released "kwq": row i holds k_i . (W q_j + b)
    for every j, so that what is projected as a key asks and what is projected as a query is looked at. The correct
    form, the default, has (W q_i + b) . k_j there.
    """

    def __init__(self, shape: BertShape, attention: AttentionConfig, swap_roles: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.query, self.key, self.value = (nn.Linear(shape.width, shape.width) for _ in range(3))
        self.swapped = swap_roles and attention.side == "query" and attention.score in _WITH_W
        self.score = build_score(replace(attention, side="key") if self.swapped else attention,
                                 shape.width // shape.heads)

    def see(self, states: Tensor) -> Seen:
        """States (batch, positions, width) as others look at them."""
        return Seen(self._split((self.query if self.swapped else self.key)(states)), self._split(self.value(states)))

    def forward(self, states: Tensor, seen: Seen, mask: Tensor, weights: bool) -> tuple[Tensor, Tensor | None]:
        """Contexts (batch, queries, width), and weights (batch, heads, queries, keys) where they are wanted.

        ``mask`` is boolean and broadcasts to the weights' shape.
        """
        asking = self._split((self.key if self.swapped else self.query)(states))
        context, found = attend(asking, seen.keys, seen.values, self.score, mask=mask,
                                dropout=self.dropout if self.training else 0.0, need_weights=weights)
        return context.transpose(1, 2).flatten(2), found

    def _split(self, states: Tensor) -> Tensor:
        """(batch, positions, width) -> (batch, heads, positions, width / heads)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Output(nn.Module):
    """Linear, dropout, residual, LayerNorm."""

    def __init__(self, given: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(given, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        """(batch, positions, width) of states (batch, positions, given) and what they are added to."""
        out: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + residual)
        return out


class _Attention(nn.Module):
    def __init__(self, shape: BertShape, attention: AttentionConfig, swap_roles: bool) -> None:
        super().__init__()
        self.self = SelfAttention(shape, attention, swap_roles)
        self.output = Output(shape.width, shape.width, shape.dropout)


class Intermediate(nn.Module):
    """The first linear layer of the feed-forward network."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.width, shape.feedforward)


class BertLayer(nn.Module):
    """Self-attention and a feed-forward network, each with its residual and LayerNorm."""

    def __init__(self, shape: BertShape, attention: AttentionConfig, swap_roles: bool = False) -> None:
        super().__init__()
        self.attention = _Attention(shape, attention, swap_roles)
        self.intermediate = Intermediate(shape)
        self.output = Output(shape.feedforward, shape.width, shape.dropout)

    def see(self, states: Tensor) -> Seen:
        """States (batch, positions, width) as others look at them in this layer."""
        seen: Seen = self.attention.self.see(states)
        return seen

    def forward(self, states: Tensor, seen: Seen, mask: Tensor, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """New states (batch, queries, width); weights as `SelfAttention`."""
        context, found = self.attention.self(states, seen, mask, weights)
        attended = self.attention.output(context, states)
        return self.output(F.gelu(self.intermediate.dense(attended)), attended), found


class BertLayers(nn.Module):
    """A stack, named ``layer`` as in published weights."""

    def __init__(self, shape: BertShape, attention: AttentionConfig = SCALED_DOT, swap_roles: bool = False) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(shape, attention, swap_roles) for _ in range(shape.layers))

    def forward(self, states: Tensor, mask: Tensor) -> tuple[Tensor, list[Seen]]:
        """Self-attention of positions (batch, n, width) among themselves; ``mask`` (batch, n) is False at padding.

        Gives the last states, and for every layer what others would look at.
        """
        seen = []
        for layer in self.layer:
            seen.append(layer.see(states))
            states, _ = layer(states, seen[-1], mask[:, None, None])
        return states, seen


def draw_as_bert(module: nn.Module, deviation: float = 0.02) -> None:
    """First values of a part: linear weights and embeddings N(0, 0.02), biases 0, LayerNorms 1 and 0 (`modeling_bert`).

    A score function's own weights are left as `AttentionConfig.init` has drawn them.
    """
    scores = {id(inner) for part in module.modules() if isinstance(part, SelfAttention)
              for inner in part.score.modules()}
    for part in module.modules():
        if id(part) in scores:
            continue
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=deviation)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
