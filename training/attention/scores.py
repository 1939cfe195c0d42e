"""Attention score functions: how well a key answers a query, before masking and softmax.

Every score is a module called as ``score(query, key)``: query (..., queries, dim) and key (..., keys, dim) give
scores (..., queries, keys); leading dimensions broadcast, so that heads share one W, and (n, 1, queries, dim) against
(1, m, keys, dim) compares all pairs. The catalogue is that of "Understanding Attention for Vision-and-Language Tasks"
(Cao et al., COLING 2022), read from its released code; that study writes W on the key "qwk" and W on the query "kwq".

They work in two steps, so that whoever compares all pairs does the work of each vector once:

- ``fold(query, key)`` gives the vectors to be compared (a projection applied, for example);
- ``finish(dots)`` makes the scores from the plain dot products of folded vectors, where the score is a dot product at
  heart; the others have ``pair(query, key)`` instead, from folded vectors to scores.

``fused_scale`` is the number s for which scores are s times those dot products, up to a term that is the same for every
key and so dropped by a softmax over keys; None where no fused kernel can compute the score. To add a score function:
one class, and one line in `SCORES`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.config import AttentionConfig

Folded = tuple[Tensor, Tensor]


def products(query: Tensor, key: Tensor) -> Tensor:
    """Dot products of every query (..., queries, dim) with every key (..., keys, dim): (..., queries, keys)."""
    return query @ key.transpose(-1, -2)


class Dot(nn.Module):
    """q.k (Luong et al. 2015, "dot"). SCAN's and AttnGAN's original; no parameters."""

    fused_scale: float | None = 1.0

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """Query and key as they are."""
        return query, key

    def finish(self, dots: Tensor) -> Tensor:
        """The products as they are."""
        return dots

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return products(query, key)


class ScaledDot(nn.Module):
    """q.k / sqrt(dim) (Vaswani et al. 2017, equation 1). M4C's original; no parameters.

    In SCAN with an L1 or L2 normalisation it equals `Dot`: the leaky ReLU is positively homogeneous and the
    normalisation undoes any positive factor (up to its epsilon).
    """

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()
        self.fused_scale = 1 / math.sqrt(dim)

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """Query and key as they are; the factor is in ``finish``."""
        return query, key

    def finish(self, dots: Tensor) -> Tensor:
        """Products divided by sqrt(dim)."""
        return dots * self.fused_scale

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return self.finish(products(query, key))


class Cosine(nn.Module):
    """q.k / (|q| |k|) (Graves et al. 2014, content addressing); a zero vector scores 0. No parameters.

    Equals `Dot` where embeddings already have unit length, as SCAN's have by default.
    """

    fused_scale: float | None = 1.0

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """Both at unit length."""
        return F.normalize(query, dim=-1), F.normalize(key, dim=-1)

    def finish(self, dots: Tensor) -> Tensor:
        """The products as they are."""
        return dots

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return products(*self.fold(query, key))


class General(nn.Module):
    """q.(W k), or (W q).k with ``side="query"`` (Luong et al. 2015, "general"); W (dim, dim), no bias.

    The sides are one function class: (W q).k = q.(W' k), W' the transpose, and every initial law here draws W and W'
    alike. Where query and key have learned projections of their own (M4C), W folds into either, and the sides differ
    only by the names of the projections.
    """

    fused_scale: float | None = 1.0
    bias = False

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()
        self.side = config.side
        self.project = nn.Linear(dim, dim, bias=self.bias)
        initialise(self.project, config)

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """The projection applied to its side; exact, bias included."""
        if self.side == "query":
            return self.project(query), key
        return query, self.project(key)

    def finish(self, dots: Tensor) -> Tensor:
        """The products as they are."""
        return dots

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return self.finish(products(*self.fold(query, key)))


class BiasedGeneral(General):
    """q.(W k + b), or (W q + b).k with ``side="query"``; W (dim, dim), b (dim,).

    On the key side the bias adds q.b, the same for every key: a softmax over keys drops it, and the weights are those
    of `General` exactly (in AttnGAN, and in M4C, where the swapped axes of "kwq" make it constant too). It does
    matter in SCAN, whose scores are normalised over queries before the softmax. On the query side b.k varies from key
    to key.
    """

    bias = True


class ActivatedGeneral(BiasedGeneral):
    """act(q.(W k + b)), or act((W q + b).k) with ``side="query"``: the activation is on the finished score.

    Published runs use ReLU (SCAN, M4C, AttnGAN on COCO) and sigmoid (AttnGAN on CUB). Here b matters on either side.
    """

    fused_scale: float | None = None

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__(dim, config)
        self.activation = {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
                           "leaky_relu": F.leaky_relu}[config.activation]

    def finish(self, dots: Tensor) -> Tensor:
        """The activation of each product."""
        return self.activation(dots)


class Elementwise(nn.Module):
    """w.(q * k) + c, the learned sum of the element-wise product in MAC (Hudson and Manning 2018, equations c2.1 and
    r3.1).

    w (dim,), c a scalar that is the same for every key, so that a softmax over keys drops it. MAC starts w by Xavier
    and c at zero: ``init="xavier"``.
    """

    fused_scale: float | None = 1.0

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()
        self.combine = nn.Linear(dim, 1)
        initialise(self.combine, config)

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """w into the query; c is in ``finish``."""
        return query * self.combine.weight[0], key

    def finish(self, dots: Tensor) -> Tensor:
        """The products plus c."""
        return dots + self.combine.bias

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return self.finish(products(*self.fold(query, key)))


class Additive(nn.Module):
    """v.tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2); W and U (hidden, dim), v (hidden,), no biases.

    Present in the study's SCAN only as commented-out code, in this very form. Needs memory for (queries, keys, hidden).
    """

    fused_scale: float | None = None

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()
        hidden = config.hidden or dim
        self.query = nn.Linear(dim, hidden, bias=False)
        self.key = nn.Linear(dim, hidden, bias=False)
        self.combine = nn.Linear(hidden, 1, bias=False)
        for layer in (self.query, self.key, self.combine):
            initialise(layer, config)

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """W q and U k."""
        return self.query(query), self.key(key)

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys) of folded vectors."""
        return self.combine(torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))).squeeze(-1)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return self.pair(*self.fold(query, key))


class Concat(nn.Module):
    """v.tanh(W [q; k]) (Luong et al. 2015, "concat"); W (hidden, 2 dim), v (hidden,), no biases.

    Equals `Additive` with W cut into its query half and its key half; only the initial law differs, by the doubled
    fan-in. The study's SCAN has it as commented-out code with a second linear layer where the tanh should be, and so
    without any interaction of query and key: q's share would be constant over the keys. Here it has the tanh.
    """

    fused_scale: float | None = None

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()
        hidden = config.hidden or dim
        self.project = nn.Linear(2 * dim, hidden, bias=False)
        self.combine = nn.Linear(hidden, 1, bias=False)
        for layer in (self.project, self.combine):
            initialise(layer, config)

    def fold(self, query: Tensor, key: Tensor) -> Folded:
        """Each projected by its half of W, so that [q; k] is never laid out for every pair."""
        of_query, of_key = self.project.weight.chunk(2, dim=1)
        return F.linear(query, of_query), F.linear(key, of_key)

    def pair(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys) of folded vectors."""
        return self.combine(torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))).squeeze(-1)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores (..., queries, keys)."""
        return self.pair(*self.fold(query, key))


SCORES: dict[str, type[nn.Module]] = {
    "dot": Dot,
    "scaled_dot": ScaledDot,
    "cosine": Cosine,
    "general": General,
    "biased_general": BiasedGeneral,
    "activated_general": ActivatedGeneral,
    "additive": Additive,
    "concat": Concat,
    "elementwise": Elementwise,
}


def build_score(config: AttentionConfig, dim: int) -> nn.Module:
    """The configured score function for vectors of size dim (the size of one head, where there are heads).

    Raises `HeedError` for a name that is not in `SCORES`.
    """
    if config.score not in SCORES:
        raise HeedError(f"there is no attention score {config.score!r}; choose one of {', '.join(SCORES)}")
    return SCORES[config.score](dim, config)


def initialise(layer: nn.Linear, config: AttentionConfig) -> None:
    """Draw a layer's first values as ``config.init`` says (sources: its comment); biases start at zero but for
    default.
    """
    if config.init == "default":
        return
    if config.init == "orthogonal":
        nn.init.orthogonal_(layer.weight)
    elif config.init == "normal_002":
        nn.init.normal_(layer.weight, std=0.02)
    else:
        nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
