"""Score functions against their formulas in NumPy, and the identities between them (the study's algebra)."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from features.errors import HeedError
from training.attention.attend import attend
from training.attention.config import AttentionConfig, ScoreName
from training.attention.scores import SCORES, build_score

DIM = 6
ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
               "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x)}
CONFIGS = [AttentionConfig("dot"), AttentionConfig("scaled_dot"), AttentionConfig("cosine"),
           *(AttentionConfig(name, side) for name in ("general", "biased_general") for side in ("key", "query")),
           *(AttentionConfig("activated_general", side, act) for side in ("key", "query") for act in ACTIVATIONS),
           AttentionConfig("additive"), AttentionConfig("concat", hidden=3), AttentionConfig("elementwise")]
every_score = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.score} {c.side} {c.activation}")


def build(config: AttentionConfig, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_score(config, DIM).double()


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def formula(config: AttentionConfig, weights: dict[str, np.ndarray], q: np.ndarray, k: np.ndarray) -> float:
    """The score of one query with one key, from the catalogue."""
    if config.score in ("dot", "scaled_dot", "cosine"):
        by = {"dot": 1, "scaled_dot": np.sqrt(DIM), "cosine": np.linalg.norm(q) * np.linalg.norm(k)}[config.score]
        return sum(q * k) / by
    if config.score == "elementwise":
        return sum(weights["combine.weight"][0] * (q * k)) + weights["combine.bias"][0]
    if config.score == "additive":
        return weights["combine.weight"][0] @ np.tanh(weights["query.weight"] @ q + weights["key.weight"] @ k)
    if config.score == "concat":
        return weights["combine.weight"][0] @ np.tanh(weights["project.weight"] @ np.concatenate([q, k]))
    w, b = weights["project.weight"], weights.get("project.bias", 0)
    score = q @ (w @ k + b) if config.side == "key" else k @ (w @ q + b)
    return ACTIVATIONS[config.activation](score) if config.score == "activated_general" else score


@every_score
@pytest.mark.parametrize("heads", [1, 3])
def test_equals_its_formula_in_float64(config: AttentionConfig, heads: int) -> None:
    score, query, key = build(config), vectors(2, heads, 4), vectors(2, heads, 5, seed=2)
    weights = {name: value.detach().numpy() for name, value in score.named_parameters()}
    with torch.no_grad():
        scores = score(query, key).numpy()
    assert scores.shape == (2, heads, 4, 5)
    for b, h, i, j in np.ndindex(*scores.shape):
        expected = formula(config, weights, query[b, h, i].numpy(), key[b, h, j].numpy())
        assert scores[b, h, i, j] == pytest.approx(expected, abs=1e-12)


@every_score
def test_leading_dimensions_broadcast_to_all_pairs(config: AttentionConfig) -> None:
    score, queries, keys = build(config), vectors(3, 4), vectors(2, 5, seed=2)
    pairs = score(queries[:, None], keys[None])  # (3, 2, 4, 5)
    torch.testing.assert_close(pairs[2, 1], score(queries[2], keys[1]))


@every_score
def test_gradients_are_those_of_finite_differences(config: AttentionConfig) -> None:
    score, query, key = build(config), vectors(2, 3, 2).requires_grad_(), vectors(2, 3, 3, seed=2).requires_grad_()
    names, parameters = zip(*score.named_parameters(), strict=True) if list(score.parameters()) else ((), ())

    def function(query: Tensor, key: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(score, dict(zip(names, parameters, strict=True)), (query, key))

    assert torch.autograd.gradcheck(function, (query, key, *parameters))


@every_score
def test_folded_vectors_give_the_same_scores_by_plain_products(config: AttentionConfig) -> None:
    score, query, key = build(config), vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    folded = score.fold(query, key)
    if config.score not in ("additive", "concat"):
        torch.testing.assert_close(score.finish(folded[0] @ folded[1].transpose(-1, -2)), score(query, key))


def test_the_registry_and_the_command_line_know_the_same_names() -> None:
    assert set(SCORES) == set(get_args(ScoreName))
    with pytest.raises(HeedError, match="scaled_dot"):
        build_score(AttentionConfig("dott"), DIM)  # type: ignore[arg-type]


# Identities of the study (Cao et al. 2022); "qwk" is W on the key, "kwq" W on the query.


def weights_of(score: torch.nn.Module, query: Tensor, key: Tensor) -> Tensor:
    return attend(query, key, key, score)[1]


def with_weight(config: AttentionConfig, weight: Tensor, bias: Tensor | None = None) -> torch.nn.Module:
    score = build(config)
    with torch.no_grad():
        score.project.weight.copy_(weight)
        if bias is not None:
            score.project.bias.copy_(bias)
    return score


W, B = vectors(DIM, seed=7), vectors(1, seed=8)[0]


def test_general_kwq_is_general_qwk_with_w_transposed() -> None:
    query, key = vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    qwk, kwq = with_weight(AttentionConfig("general", "key"), W), with_weight(AttentionConfig("general", "query"), W.T)
    torch.testing.assert_close(qwk(query, key), kwq(query, key))


def test_kwq_and_qwk_exchange_names_with_query_and_key() -> None:
    query, key = vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    for name in ("general", "biased_general", "activated_general"):
        bias = None if name == "general" else B
        qwk, kwq = (with_weight(AttentionConfig(name, side, "tanh"), W, bias) for side in ("key", "query"))
        torch.testing.assert_close(qwk(query, key), kwq(key, query).transpose(-1, -2))


def test_the_bias_on_the_key_side_vanishes_in_the_softmax() -> None:
    query, key = vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    general, biased = (with_weight(AttentionConfig(name, "key"), W, bias) for name, bias in
                       (("general", None), ("biased_general", B)))
    assert (general(query, key) - biased(query, key)).abs().max() > 0.1
    torch.testing.assert_close(weights_of(general, query, key), weights_of(biased, query, key))


def test_the_bias_on_the_query_side_does_not() -> None:
    query, key = vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    general, biased = (with_weight(AttentionConfig(name, "query"), W, bias) for name, bias in
                       (("general", None), ("biased_general", B)))
    assert (weights_of(general, query, key) - weights_of(biased, query, key)).abs().max() > 0.01


@pytest.mark.parametrize("side", ["key", "query"])
def test_with_an_activation_the_bias_matters_on_either_side(side: str) -> None:
    query, key = vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    with_bias, without = (with_weight(AttentionConfig("activated_general", side), W, bias) for bias in (B, 0 * B))
    assert (weights_of(with_bias, query, key) - weights_of(without, query, key)).abs().max() > 0.01


def test_general_is_dot_with_w_folded_into_the_key_projection() -> None:
    # M4C: keys come from a projection P of their own, so that q.(W P x) is a dot product with projection W P.
    query, x, projection = vectors(2, 3, 4), vectors(2, 3, 5, seed=2), vectors(DIM, seed=9)
    general, dot = with_weight(AttentionConfig("general"), W), build(AttentionConfig("dot"))
    torch.testing.assert_close(general(query, x @ projection.T), dot(query, x @ (W @ projection).T))


def test_cosine_is_dot_on_unit_vectors() -> None:
    query, key = (torch.nn.functional.normalize(x, dim=-1) for x in (vectors(4), vectors(5, seed=2)))
    torch.testing.assert_close(build(AttentionConfig("cosine"))(query, key), build(AttentionConfig("dot"))(query, key))


def test_concat_is_additive_with_w_cut_in_two() -> None:
    query, key = vectors(2, 3, 4), vectors(2, 3, 5, seed=2)
    concat, additive = build(AttentionConfig("concat")), build(AttentionConfig("additive"), seed=1)
    with torch.no_grad():
        additive.query.weight.copy_(concat.project.weight[:, :DIM])
        additive.key.weight.copy_(concat.project.weight[:, DIM:])
        additive.combine.weight.copy_(concat.combine.weight)
    torch.testing.assert_close(concat(query, key), additive(query, key))


def test_mac_s_control_unit_drops_a_bias_added_to_the_words() -> None:
    # kwq there: w.(c * (W word + b)) adds w.(c * b), which is the same for every word (here: the keys).
    control, words = vectors(2, 1, 1), vectors(2, 1, 5, seed=2)
    elementwise = build(AttentionConfig("elementwise"))
    torch.testing.assert_close(weights_of(elementwise, control, words @ W.T),
                               weights_of(elementwise, control, words @ W.T + B))


@pytest.mark.parametrize("name", ["general", "biased_general", "additive", "concat", "elementwise"])
def test_initial_weights_follow_their_law(name: str) -> None:
    def first(init: str, dim: int) -> tuple[Tensor, list[Tensor]]:
        torch.manual_seed(0)
        score = build_score(AttentionConfig(name, init=init), dim)
        return (max(score.parameters(), key=torch.numel).detach(),
                [value for key, value in score.named_parameters() if key.endswith("bias")])

    orthogonal, biases = first("orthogonal", 32)
    rows = orthogonal @ orthogonal.T if orthogonal.shape[0] <= orthogonal.shape[1] else orthogonal.T @ orthogonal
    torch.testing.assert_close(rows, torch.eye(len(rows)), atol=1e-5, rtol=0)
    normal, more = first("normal_002", 128)
    assert normal.std().item() == pytest.approx(0.02, rel=0.25)
    xavier, still_more = first("xavier", 128)
    assert 0.9 < xavier.abs().max().item() / (6 / sum(xavier.shape)) ** 0.5 <= 1
    default, _ = first("default", 128)
    assert 0.9 < default.abs().max().item() * default.shape[1] ** 0.5 <= 1  # Kaiming uniform with a = sqrt(5)
    assert all((bias == 0).all() for bias in (*biases, *more, *still_more))
