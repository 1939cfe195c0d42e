"""`attend` against a float64 reference written query by query, with padding, with one and several heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.attention.test_scores import DIM, build, every_score, formula, vectors
from training.attention.attend import attend, masked_softmax
from training.attention.config import AttentionConfig

PADDING = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=torch.bool)[:, None, None]  # (batch, 1, 1, keys)


def reference(config: AttentionConfig, score: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor,
              mask: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Context and weights by the definition: only allowed keys are looked at."""
    parameters = {name: p.detach().numpy() for name, p in score.named_parameters()}
    q, k, v = query.detach().numpy(), key.detach().numpy(), value.detach().numpy()
    weights = np.zeros((*q.shape[:3], k.shape[2]))
    for b, h, i in np.ndindex(*q.shape[:3]):
        allowed = np.flatnonzero(mask.expand(weights.shape)[b, h, i])
        exps = np.exp([formula(config, parameters, q[b, h, i], k[b, h, j]) for j in allowed])
        weights[b, h, i, allowed] = exps / exps.sum()
    return weights @ v, weights


@every_score
@pytest.mark.parametrize("heads", [1, 3])
def test_context_and_weights_equal_the_reference(config: AttentionConfig, heads: int) -> None:
    score = build(config)
    query, key, value = (vectors(2, heads, n, seed=seed) for n, seed in ((4, 1), (5, 2), (5, 3)))
    for mask in (None, PADDING):
        context, weights = attend(query, key, value, score, mask=mask)
        everything = torch.ones(1, dtype=torch.bool)
        expected = reference(config, score, query, key, value, everything if mask is None else mask)
        np.testing.assert_allclose(context.detach(), expected[0], atol=1e-10)
        np.testing.assert_allclose(weights.detach(), expected[1], atol=1e-10)


@every_score
@pytest.mark.parametrize("heads", [1, 3])
def test_gradients_equal_those_of_attention_without_padding(config: AttentionConfig, heads: int) -> None:
    score, query = build(config), vectors(2, heads, 4).requires_grad_()
    key, value = vectors(2, heads, 5, seed=2).requires_grad_(), vectors(2, heads, 5, seed=3).requires_grad_()
    leaves = [query, key, value, *score.parameters()]
    weighting = vectors(2, heads, 4, seed=4)
    padded = (attend(query, key, value, score, mask=PADDING)[0] * weighting).sum()
    cut = sum((torch.softmax(score(query[i], key[i, :, :n]), -1) @ value[i, :, :n] * weighting[i]).sum()
              for i, n in enumerate((5, 2)))
    ours = torch.autograd.grad(padded, leaves, allow_unused=True)
    theirs = torch.autograd.grad(cut, leaves, allow_unused=True)
    for mine, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, their, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("masked", ["unmasked", "padded", "a row without keys"])
@every_score
def test_the_fused_path_equals_the_explicit_one(config: AttentionConfig, masked: str, heads: int) -> None:
    mask = None if masked == "unmasked" else PADDING.clone()
    if masked == "a row without keys":
        mask = mask.repeat(1, 1, 4, 1)
        mask[1, 0, 2] = False
    score = build(config).float()
    query, key, value = (vectors(2, heads, n, seed=n).float().requires_grad_() for n in (4, 5, 5))
    results = []
    for need_weights in (True, False):
        context, weights = attend(query, key, value, score, mask=mask, scale=1.7, need_weights=need_weights)
        assert (weights is None) is not need_weights
        leaves = [query, key, value, *score.parameters()]
        gradients = torch.autograd.grad(context.square().mean(), leaves, allow_unused=True)
        # A constant that the softmax drops has a gradient of zero in one, and none in the other.
        results.append([context, *(torch.zeros_like(x) if g is None else g
                                   for x, g in zip(leaves, gradients, strict=True))])
    for explicit, fused in zip(*results, strict=True):
        torch.testing.assert_close(explicit, fused, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_query_with_no_allowed_key_gets_zeros_and_gives_no_nan(need_weights: bool) -> None:
    score = build(AttentionConfig("biased_general"))
    query, key, value = (vectors(2, 2, n, seed=n).requires_grad_() for n in (4, 5, 5))
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    mask[1] = False
    context, weights = attend(query, key, value, score, mask=mask, need_weights=need_weights)
    assert (context[1] == 0).all() and context[0].abs().min() > 0
    if weights is not None:
        assert (weights[1] == 0).all()
    context.sum().backward()
    for x in (query, key, value):
        assert x.grad.isfinite().all() and (x.grad[1] == 0).all()


def test_the_mask_acts_after_the_transform() -> None:
    # A transform that would revive -inf (a sigmoid of it is 0, a weight like any other) must not see it.
    query, key = vectors(1, 1, 3), vectors(1, 1, 5, seed=2)
    mask = torch.tensor([True, True, False, True, False])
    _, weights = attend(query, key, key, build(AttentionConfig("dot")), mask=mask, transform=torch.sigmoid, scale=2.0)
    expected = np.exp(2 / (1 + np.exp(-(query @ key.transpose(-1, -2)).numpy()))) * mask.numpy()
    np.testing.assert_allclose(weights, expected / expected.sum(-1, keepdims=True), atol=1e-12)


def test_dropout_drops_from_the_context_and_not_from_the_weights() -> None:
    torch.manual_seed(0)
    query, key, value = vectors(1, 2, 50), vectors(1, 2, 40, seed=2), torch.ones(1, 2, 40, 1, dtype=torch.float64)
    score = build(AttentionConfig("scaled_dot"))
    context, weights = attend(query, key, value, score, dropout=0.5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 50, dtype=torch.float64))
    assert context.std() > 0.05 and context.mean().item() == pytest.approx(1, abs=0.05)  # scaled up to the same mean


def test_masked_softmax_works_along_any_axis() -> None:
    scores, mask = vectors(4), torch.tensor([True, False, True, True])[:, None]
    along_rows = masked_softmax(scores, mask, dim=0)
    torch.testing.assert_close(along_rows, masked_softmax(scores.T, mask.T).T)
    torch.testing.assert_close(along_rows.sum(0), torch.ones(DIM, dtype=torch.float64))
    assert (along_rows[1] == 0).all()
