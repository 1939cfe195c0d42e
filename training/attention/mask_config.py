"""Which learnable attention mask a model is trained with. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MaskName = Literal["none", "lam", "lam-multi", "control"]


@dataclass(frozen=True)
class MaskConfig:
    """The mask and its options; what is known of the paper's choices stands in `training.attention.mask`."""

    # none; lam: one mask, made from the tokens before the first layer and used in all of them; lam-multi: each layer
    # makes its own from its input; control: no mask, but as many extra weights as lam-multi in plain linear layers.
    mask: MaskName = "none"
    # How the mask M meets the scores S = QK'/sqrt(d): multiply gives softmax(S * M), the paper's reading; add gives
    # softmax(S + M), the only one that can exclude a key; reweigh multiplies the weights and normalises them again.
    combine: Literal["multiply", "add", "reweigh"] = "multiply"
    # Around the network's last layer: nothing, or a function that keeps M from being negative.
    output: Literal["linear", "relu", "sigmoid", "softplus"] = "linear"
    # positions: a column for each position up to a greatest length, the paper's reading; interpolate: as many columns,
    # stretched to the present length; bilinear: M = q'k of two networks, any length, and no absolute positions.
    length: Literal["positions", "interpolate", "bilinear"] = "positions"
    # One mask for all heads of a layer, or one for each.
    heads: Literal["shared", "each"] = "shared"
    # In cross-attention, what the mask is made from: the queries' tokens, the keys' (and transposed), or each query's
    # token beside the mean of the keys'.
    cross: Literal["query", "key", "both"] = "query"
    # Width of the network's hidden layers; 0 takes the tokens' own.
    hidden: int = 0
    # Hidden layers of the network, each a linear layer and a ReLU.
    depth: int = 1
    # Start as if there were no mask: a pretrained model is what it was. Otherwise torch's own first values, which with
    # multiply start near uniform attention.
    identity: bool = True
    # Weight in the loss of the mean |M - no mask|, which pulls the mask back to doing nothing; 0 for none, as in the
    # paper.
    sparsity: float = 0.0
