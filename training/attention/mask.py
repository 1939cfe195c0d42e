"""The Learnable Attention Mask (LAM; Barrios and Jin 2024, arXiv 2406.02761): attention scores changed by the tokens.

A feed-forward network makes from the tokens T (batch, length, dim) a mask M (batch, queries, keys), which is multiplied
into the scores before the softmax:

    S = Q K' / sqrt(d)      A = softmax(S * M)      output = A V

The single-layer form makes M once and uses it in every layer; the multi-layer form has a network a layer. Row i of M is
a function of query token i alone; column j is a *position*, not what stands there: permuting the tokens changes M. The
paper leaves several choices open; each is an option of `MaskConfig`, its first value the likeliest reading. None
of them is known to be the paper's own but the multiplication, the network's shape, and that M depends on the input.

Two things follow from the formula and are easily missed. M = 0 does not exclude a key, it gives it the score 0; only
``combine="add"`` can exclude. And padding must be masked with -inf after M, or 0 * -inf is no number and a negative M
attends to the padding: `training.attention.attend` does so.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.mask_config import MaskConfig

_OUTPUTS = {"linear": lambda x: x, "relu": F.relu, "sigmoid": lambda x: 2 * torch.sigmoid(x), "softplus": F.softplus}
"""sigmoid is doubled, so that it too can start at 1."""
_ONE = {"linear": 1.0, "relu": 1.0, "sigmoid": 0.0, "softplus": math.log(math.expm1(1.0))}
"""Where each of them is 1."""


class LearnableMask(nn.Module):
    """Tokens to a mask: linear layers with ReLUs between them.

    ``dim`` is the length of the tokens the mask is made from, ``longest`` the greatest number of keys (of queries, with
    ``cross="key"``), ``heads`` the attention's heads, ``key_dim`` the length of the keys' tokens where it is another.
    """

    def __init__(self, dim: int, longest: int, heads: int, config: MaskConfig, key_dim: int = 0) -> None:
        super().__init__()
        if config.combine == "add" and config.output in ("sigmoid", "softplus"):
            raise HeedError(f"a mask that is added needs an output that can be 0, not {config.output}; take linear")
        self.config, self.longest = config, longest
        self.masks = heads if config.heads == "each" else 1
        key_dim = key_dim or dim
        hidden = config.hidden or dim
        taken = {"query": dim, "key": key_dim, "both": dim + key_dim}[config.cross]
        if config.length == "bilinear":
            self.query = _network(dim, hidden, hidden * self.masks, config.depth)
            self.key = _network(key_dim, hidden, hidden * self.masks, config.depth)
            self.bias = nn.Parameter(torch.zeros(self.masks, 1, 1))
            last, level = self.query[-1], self.bias
        else:
            self.network = _network(taken, hidden, longest * self.masks, config.depth)
            last, level = self.network[-1], self.network[-1].bias
        if config.identity:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            nn.init.constant_(level, self.neutral_input)

    @property
    def neutral(self) -> float:
        """What M is where it changes nothing."""
        return 0.0 if self.config.combine == "add" else 1.0

    @property
    def neutral_input(self) -> float:
        """What the last linear layer gives there."""
        return 0.0 if self.config.combine == "add" else _ONE[self.config.output]

    def forward(self, queries: Tensor, keys: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """M (batch, 1 or heads, queries, keys) of tokens (batch, length, dim); self-attention without ``keys``.

        ``places`` (columns,) int64 says which positions the columns are, where not 0, 1, 2, …: where one sequence is
        put behind another, its first token has the same position however long that one is in this batch. Raises
        `HeedError` where there are more tokens than ``longest``, unless the length is free.
        """
        keys = queries if keys is None else keys
        if self.config.length == "bilinear":
            of_queries, of_keys = (self._split(net(x)) for net, x in ((self.query, queries), (self.key, keys)))
            raw = of_queries @ of_keys.transpose(-1, -2) / math.sqrt(of_queries.shape[-1]) + self.bias
        else:
            turned = self.config.cross == "key"
            tokens, columns = (keys, queries.shape[1]) if turned else (queries, keys.shape[1])
            if self.config.cross == "both":
                mean = keys.mean(1, keepdim=True).expand(-1, queries.shape[1], -1)
                tokens = torch.cat([queries, mean], -1)
            raw = self._fitted(self._split(self.network(tokens)), columns, places)
            raw = raw.transpose(-1, -2) if turned else raw
        return _OUTPUTS[self.config.output](raw)

    def penalty(self, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mean |M - neutral|, over the places where the boolean ``valid``, broadcast to M, is True."""
        distance = (mask - self.neutral).abs()
        if valid is None:
            return distance.mean()
        valid = valid.expand_as(distance)
        return distance.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)

    def _split(self, x: Tensor) -> Tensor:
        """(batch, length, masks * n) to (batch, masks, length, n)."""
        return x.unflatten(-1, (self.masks, -1)).transpose(1, 2)

    def _fitted(self, raw: Tensor, columns: int, places: Tensor | None) -> Tensor:
        """As many columns as there are keys."""
        if self.config.length == "interpolate":
            if columns == raw.shape[-1]:
                return raw
            flat = F.interpolate(raw.flatten(0, 1), columns, mode="linear", align_corners=False)
            return flat.unflatten(0, raw.shape[:2])
        if columns > self.longest:
            raise HeedError(f"{columns} tokens are more than the mask's {self.longest} positions; make it longer, or "
                            "take the length interpolate or bilinear")
        return raw[..., :columns] if places is None else raw[..., places]


class MatchedControl(nn.Module):
    """No mask, but as many weights: a residual network on the tokens, x + W2 relu(W1 x), to within 1 %.

    Tells whether a gain comes from the mask or from its parameters. It starts as the identity.
    """

    def __init__(self, dim: int, parameters: int) -> None:
        super().__init__()
        hidden = max(1, round((parameters - dim) / (2 * dim + 1)))
        self.inner = nn.Linear(dim, hidden)
        self.outer = nn.Linear(hidden, dim)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, length, dim), changed."""
        return tokens + self.outer(F.relu(self.inner(tokens)))


class LayerMasks(nn.Module):
    """The masks, or the controls, of a stack of attention layers.

        masks = LayerMasks(config, layers=6, dim=256, longest=107, heads=8)
        state = masks.begin(tokens)
        for number, layer in enumerate(layers):
            tokens, mask = masks.layer(number, tokens, state)
            tokens = layer(tokens, mask)                        # mask None: plain attention
        loss = loss + masks.loss()

    ``begin`` and ``layer`` take the keys' tokens too, for cross-attention.
    """

    def __init__(
        self, config: MaskConfig, layers: int, dim: int, longest: int, heads: int, key_dim: int = 0
    ) -> None:
        super().__init__()
        self.config, self.layers = config, layers
        count = {"none": 0, "lam": 1, "lam-multi": layers, "control": 0}[config.mask]
        self.masks = nn.ModuleList(LearnableMask(dim, longest, heads, config, key_dim) for _ in range(count))
        self.controls = nn.ModuleList()
        if config.mask == "control":
            with torch.random.fork_rng(devices=[]):
                size = sum(p.numel() for p in LearnableMask(dim, longest, heads, config, key_dim).parameters())
            self.controls.extend(MatchedControl(dim, size) for _ in range(layers))
        self._penalties: list[Tensor] = []

    def begin(
        self, queries: Tensor, keys: Tensor | None = None, valid: Tensor | None = None, places: Tensor | None = None
    ) -> Tensor | None:
        """What the layers share: the single mask, or None. ``valid``, bool (batch, 1, 1 or queries, keys), says where
        there is no padding; ``places`` as in `LearnableMask`.
        """
        self._penalties = []
        return self._made(0, queries, keys, valid, places) if self.config.mask == "lam" else None

    def layer(
        self, number: int, queries: Tensor, shared: Tensor | None, keys: Tensor | None = None,
        valid: Tensor | None = None, places: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The tokens that go into layer ``number``, and its mask (batch, 1 or heads, queries, keys) or None."""
        if self.config.mask == "lam-multi":
            return queries, self._made(number, queries, keys, valid, places)
        return (self.controls[number](queries) if self.config.mask == "control" else queries), shared

    def loss(self) -> Tensor | float:
        """``sparsity`` times the mean penalty of the masks made since ``begin``; 0 where there is none."""
        if not self._penalties or not self.config.sparsity:
            return 0.0
        return self.config.sparsity * torch.stack(self._penalties).mean()

    def _made(
        self, number: int, queries: Tensor, keys: Tensor | None, valid: Tensor | None, places: Tensor | None
    ) -> Tensor:
        module = self.masks[number]
        mask = module(queries, keys, places)
        if self.config.sparsity:
            self._penalties.append(module.penalty(mask, valid))
        return mask


def changed_scores(scores: Tensor, mask: Tensor | None, config: MaskConfig) -> Tensor:
    """Scores (batch, heads, queries, keys) with the mask in them, before padding is masked and the softmax taken."""
    if mask is None or config.combine == "reweigh":
        return scores
    return scores + mask if config.combine == "add" else scores * mask


def changed_weights(weights: Tensor, mask: Tensor | None, config: MaskConfig) -> Tensor:
    """Weights (batch, heads, queries, keys) after the softmax, times the mask and normalised again, with reweigh.

    A row whose products sum to nothing, or to less, keeps its weights.
    """
    if mask is None or config.combine != "reweigh":
        return weights
    products = weights * mask
    total = products.sum(-1, keepdim=True)
    return torch.where(total > 0, products / total.clamp(min=torch.finfo(total.dtype).tiny), weights)


def moved(weights: Tensor, without: Tensor) -> Tensor:
    """How much attention a mask has moved: half the sum of |difference| over keys, 0 … 1, (batch, heads, queries)."""
    return (weights - without).abs().sum(-1) / 2


def _network(taken: int, hidden: int, given: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(hidden if number else taken, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden if depth else taken, given))
