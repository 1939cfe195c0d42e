"""Multi-head attention: which form it takes where, and that the fused one is the explicit one."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from training.attention import multihead
from training.attention.mask_config import MaskConfig
from training.attention.mask_maps import recorded
from training.attention.multihead import Attended, Multihead, Projected, form

B, LENGTH, DIM, HEADS = 2, 5, 12, 3


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Gives a function after which modules choose as if their tensors were on a GPU."""
    def pretend():
        monkeypatch.setattr(multihead, "form", lambda config, device, *rest: form(config, torch.device("cuda"), *rest))
    return pretend


@pytest.mark.parametrize(("combine", "masked", "looked_at"),
                         list(product(["multiply", "add", "reweigh"], [True, False], [True, False])))
def test_it_is_fused_on_a_gpu_without_a_mask_or_with_an_added_one_where_nobody_looks(combine, masked, looked_at):
    config = MaskConfig("lam", combine)
    expected = "sdpa" if (combine == "add" or not masked) and not looked_at else "explicit"
    assert form(config, torch.device("cuda"), masked, looked_at) == expected
    assert form(config, torch.device("cpu"), masked, looked_at) == "explicit"


def made(kind, config, dropout=0.0):
    """A module, and the tokens or heads it is called with."""
    torch.manual_seed(0)
    if kind == "Attended":
        module = Attended(DIM, HEADS, dropout)
        heads = torch.randn(B, HEADS, LENGTH, 2 * DIM // HEADS), torch.randn(B, HEADS, LENGTH, DIM // HEADS)
        return module, (heads[0], heads[0].flip(0), heads[1])
    module = (Multihead if kind == "Multihead" else Projected)(DIM, HEADS, dropout, config)
    return module, (torch.randn(B, LENGTH, DIM),) * (3 if kind == "Multihead" else 1)


def values_and_gradients(kind, config, masks, valid):
    module, inputs = made(kind, config)
    inputs = [x.clone().requires_grad_() for x in inputs]
    learned = [torch.linspace(-1, 2, B * masks * LENGTH**2).reshape(B, masks, LENGTH, LENGTH).requires_grad_()] * (
        masks > 0)
    found = module(*inputs, valid, *learned)
    found.square().sum().backward()
    wanted = [*inputs, *learned, *module.parameters()]
    assert all(x.grad is not None for x in wanted)
    return [found, *(x.grad for x in wanted)]


PADDING = {
    "none": None,
    "keys": torch.tensor([[True] * 5, [True, True, True, False, False]]),
    "pairs, one query with nothing": torch.tensor([[i > 0 and j <= i for j in range(LENGTH)] for i in range(LENGTH)]
                                                  ).expand(B, HEADS, -1, -1),
}


@pytest.mark.parametrize(("kind", "masks", "padding"),
                         [*product(["Multihead", "Projected"], [0, 1, HEADS], PADDING),
                          *product(["Attended"], [0], PADDING)])
def test_the_fused_form_gives_the_explicit_ones_values_and_gradients(kind, masks, padding, as_on_a_gpu, monkeypatch):
    config = MaskConfig("lam", "add")
    explicit = values_and_gradients(kind, config, masks, PADDING[padding])
    as_on_a_gpu()
    calls = []
    kernel = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *given: calls.append(given) or kernel(*given))
    fused = values_and_gradients(kind, config, masks, PADDING[padding])
    assert len(calls) == 1
    for one, other in zip(explicit, fused, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["Multihead", "Projected", "Attended"])
def test_weights_are_dropped_in_training_alone_in_the_fused_form_too(kind, as_on_a_gpu, monkeypatch):
    as_on_a_gpu()
    module, inputs = made(kind, MaskConfig(), 0.25)
    rates = []

    def noted(query, key, value, mask, dropout):
        rates.append(dropout)
        return value

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    module.train()(*inputs)
    module.eval()(*inputs)
    assert rates == [0.25, 0.0]


def test_who_looks_on_a_gpu_sees_the_weights_of_plain_attention_and_of_an_added_mask(as_on_a_gpu):
    as_on_a_gpu()
    module, inputs = made("Multihead", MaskConfig("lam", "add"))
    learned = torch.zeros(B, 1, LENGTH, LENGTH)
    learned[..., 0] = 3
    with recorded(module) as seen:
        module(*inputs)
        looked_at = module(*inputs, None, learned)
    plain, changed = seen[""]
    assert plain.mask is None and torch.equal(plain.weights, changed.without)
    assert (changed.weights[..., 0] > changed.without[..., 0]).all()
    torch.testing.assert_close(module(*inputs, None, learned), looked_at)
