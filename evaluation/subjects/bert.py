"""The parts of BERT (Devlin et al. 2019) that the subjects are built of, named as published weights name them.

Dropout is left out: subjects are read, never trained. LayerNorm's epsilon is 1e-12 and GELU the exact one throughout,
as in every published configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from features.errors import HeedError

Watch = Callable[[Tensor], Tensor]
"""Takes attention weights (batch, heads, queries, keys), gives the weights to use."""
EPSILON = 1e-12


def norm(width: int) -> nn.Module:
    """LayerNorm with BERT's epsilon."""
    return nn.LayerNorm(width, eps=EPSILON)


def table(rows: int, width: int) -> nn.Module:
    """An embedding of zeros: it is filled with published or random weights right after, and drawing takes seconds."""
    return nn.Embedding.from_pretrained(torch.zeros(rows, width), freeze=False)


def split_heads(states: Tensor, heads: int) -> Tensor:
    """(batch, positions, width) -> (batch, heads, positions, width / heads)."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, watch: Watch) -> Tensor:
    """softmax(Q K' / sqrt(d)) V of heads (batch, heads, positions, d), merged to (batch, queries, heads * d).

    ``mask`` (batch, keys) is False at padding, which gets weight exactly 0.
    """
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    weights = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
    return (watch(weights) @ values).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Projections to queries, keys and values, and `attend`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, states: Tensor, context: Tensor, mask: Tensor, watch: Watch) -> Tensor:
        """(batch, queries, width) from states that ask and the context that they look at."""
        return attend(split_heads(self.query(states), self.heads), split_heads(self.key(context), self.heads),
                      split_heads(self.value(context), self.heads), mask, watch)


class Residual(nn.Module):
    """LayerNorm(dense(x) + skipped)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, out)
        self.LayerNorm = norm(out)

    def forward(self, states: Tensor, skipped: Tensor) -> Tensor:
        """(batch, positions, out)."""
        return self.LayerNorm(self.dense(states) + skipped)


class Widen(nn.Module):
    """GELU(dense(x)), the first half of a feed-forward layer."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)

    def forward(self, states: Tensor) -> Tensor:
        """(batch, positions, inner)."""
        return functional.gelu(self.dense(states))


class AttentionLayer(nn.Module):
    """Attention with its residual. Weights name the inner one ``self``, LXMERT's cross-attention ``att``."""

    def __init__(self, width: int, heads: int, name: str = "self") -> None:
        super().__init__()
        self.inner_name = name
        self.add_module(name, Attention(width, heads))
        self.output = Residual(width, width)

    def forward(self, states: Tensor, context: Tensor, mask: Tensor, watch: Watch) -> Tensor:
        """(batch, queries, width)."""
        attention = getattr(self, self.inner_name)
        return self.output(attention(states, context, mask, watch), states)


class BertLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = AttentionLayer(width, heads)
        self.intermediate = Widen(width, inner)
        self.output = Residual(inner, width)

    def forward(self, states: Tensor, mask: Tensor, watch: Watch) -> Tensor:
        """(batch, positions, width)."""
        states = self.attention(states, states, mask, watch)
        return self.output(self.intermediate(states), states)


class WordEmbeddings(nn.Module):
    """Word + position + type 0, normalised."""

    def __init__(self, vocabulary: int, width: int, positions: int, types: int) -> None:
        super().__init__()
        self.word_embeddings = table(vocabulary, width)
        self.position_embeddings = table(positions, width)
        self.token_type_embeddings = table(types, width)
        self.LayerNorm = norm(width)

    def forward(self, words: Tensor) -> Tensor:
        """(batch, words, width) of ids (batch, words); `HeedError` where there are more than positions."""
        if words.shape[1] > len(self.position_embeddings.weight):
            raise HeedError(f"The longest text of the batch has {words.shape[1]} pieces, but the weights have "
                            f"{len(self.position_embeddings.weight)} positions: cut texts shorter.")
        places = self.position_embeddings.weight[:words.shape[1]]
        return self.LayerNorm(self.word_embeddings(words) + places + self.token_type_embeddings.weight[0])


class Pooler(nn.Module):
    """activation(dense(first state)); tanh in BERT, ReLU in ViLBERT."""

    def __init__(self, width: int, out: int, activation: Callable[[Tensor], Tensor] = torch.tanh) -> None:
        super().__init__()
        self.dense = nn.Linear(width, out)
        self.activation = activation

    def forward(self, state: Tensor) -> Tensor:
        """(batch, out) of the state (batch, width) of one position."""
        return self.activation(self.dense(state))


class Transform(nn.Module):
    """LayerNorm(GELU(dense(x))), before the words are scored."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = norm(width)

    def forward(self, states: Tensor) -> Tensor:
        """(..., width)."""
        return self.LayerNorm(functional.gelu(self.dense(states)))


class WordHead(nn.Module):
    """Scores of the vocabulary for masked words; its matrix is the word embeddings' own."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.transform = Transform(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """(..., vocabulary) from states (..., width) and embeddings (vocabulary, width)."""
        return functional.linear(self.transform(states), embeddings, self.bias)


class Heads(nn.Module):
    """``cls``: the heads for words (`predictions`) and, where the model keeps it there, for matching.

    Either is None where the weights lack it.
    """

    def __init__(self, vocabulary: int, width: int, match: str = "", match_width: int = 0) -> None:
        super().__init__()
        self.predictions = WordHead(vocabulary, width)
        if match:
            self.add_module(match, nn.Linear(match_width, 2))
