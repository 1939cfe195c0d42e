"""Which attention score function a model is trained with. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScoreName = Literal["dot", "scaled_dot", "cosine", "general", "biased_general", "activated_general",
                    "additive", "concat", "elementwise"]


@dataclass(frozen=True)
class AttentionConfig:
    """The score function and its options; formulas and sources stand in `training.attention.scores`."""

    # How a query and a key are compared: q.k, q.k / sqrt(d), cos(q, k), q.Wk, q.(Wk + b), act(q.(Wk + b)),
    # v.tanh(Wq + Uk) with two matrices or with one over [q; k], or w.(q * k) + c.
    score: ScoreName = "dot"
    # Which vector W multiplies, for the three general forms: key is written qwk in the study, query kwq.
    side: Literal["key", "query"] = "key"
    # The function around activated_general; leaky_relu has torch's slope of 0.01, as published.
    activation: Literal["relu", "tanh", "sigmoid", "leaky_relu"] = "relu"
    # First values of the score's own weights: torch's default (SCAN), orthogonal (AttnGAN), normal with deviation 0.02
    # (M4C) or xavier uniform (MAC); all but default start biases at zero.
    init: Literal["default", "orthogonal", "normal_002", "xavier"] = "default"
    # Width of the tanh layer of additive and concat; 0 takes the size of the vectors compared.
    hidden: int = 0
