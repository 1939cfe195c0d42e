"""The learnable mask: formulas against NumPy, gradients, identity at the start, padding, parameters, fused forms."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from features.errors import HeedError
from training.attention.mask import LayerMasks, LearnableMask, MatchedControl, moved
from training.attention.mask_config import MaskConfig
from training.attention.masked import NARROWEST, masked_attention, route

B, H, LQ, LK, D, LONGEST = 2, 3, 4, 5, 6, 9


def tensors(seed=0, dtype=torch.float64, queries=LQ, keys=LK, dim=D):
    torch.manual_seed(seed)
    return [torch.randn(B, H, n, dim, dtype=dtype) for n in (queries, keys, keys)]


def attention_by_numpy(q, k, v, m, combine, allowed):
    """The definition, in ten lines."""
    s = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    s = {"multiply": s * m, "add": s + m, "reweigh": s}[combine]
    s = np.where(allowed, s, -np.inf)
    a = np.exp(s - s.max(-1, keepdims=True))
    a = a / a.sum(-1, keepdims=True)
    if combine == "reweigh":
        a = a * m / (a * m).sum(-1, keepdims=True)
    return a @ v, a


@pytest.mark.parametrize(("combine", "heads", "padded"), list(product(["multiply", "add", "reweigh"], [1, H], [0, 1])))
def test_attention_with_a_mask_is_the_formula_and_padding_comes_last(combine, heads, padded):
    q, k, v = tensors()
    m = torch.rand(B, heads, LQ, LK, dtype=torch.float64) - (0.0 if combine == "reweigh" else 0.5)
    allowed = torch.ones(B, 1, 1, LK, dtype=torch.bool)
    if padded:
        allowed[0, ..., 3:] = False
    context, weights = masked_attention(q, k, v, m, MaskConfig("lam", combine), allowed)
    expected = attention_by_numpy(*(x.numpy() for x in (q, k, v, m)), combine, allowed.numpy())
    assert np.allclose(context, expected[0], atol=1e-12) and np.allclose(weights, expected[1], atol=1e-12)
    assert not padded or not weights[0, ..., 3:].any()


@pytest.mark.parametrize("length", ["positions", "interpolate", "bilinear"])
@pytest.mark.parametrize("output", ["linear", "relu", "sigmoid", "softplus"])
@pytest.mark.parametrize("cross", ["query", "key", "both"])
def test_every_form_starts_as_plain_attention_and_has_the_shape_of_the_scores(length, output, cross):
    config = MaskConfig("lam", length=length, output=output, cross=cross, heads="each")
    module = LearnableMask(7, LONGEST, H, config, key_dim=8)
    m = module(torch.randn(B, LQ, 7), torch.randn(B, LK, 8))
    assert m.shape == (B, H, LQ, LK) and torch.allclose(m, torch.ones(()), atol=1e-6)
    assert output == "softplus" or torch.equal(m, torch.ones_like(m))


@pytest.mark.parametrize("combine", ["multiply", "add"])
def test_an_identity_start_equals_plain_attention_bitwise(combine):
    q, k, v = tensors(dtype=torch.float32, keys=LQ)
    config = MaskConfig("lam", combine)
    m = LearnableMask(D, LONGEST, H, config)(torch.randn(B, LQ, D))
    with_mask, plain = (masked_attention(q, k, v, one, config) for one in (m, None))
    assert torch.equal(with_mask[0], plain[0]) and torch.equal(with_mask[1], plain[1])


@pytest.mark.parametrize(("length", "cross", "combine"), [
    ("positions", "query", "multiply"), ("positions", "key", "add"), ("interpolate", "both", "multiply"),
    ("bilinear", "query", "reweigh"), ("bilinear", "query", "multiply"),
])  # fmt: skip
def test_gradients_are_right_through_mask_and_padding(length, cross, combine):
    torch.manual_seed(1)
    output = "softplus" if combine == "reweigh" else "linear"
    config = MaskConfig("lam", combine, output, length, "each", cross, identity=False)
    module = LearnableMask(3, LONGEST, 2, config).double()
    allowed = torch.tensor([True, True, False, True])[None, None, None]

    def f(q, k, tokens):
        return masked_attention(q, k, k, module(tokens[:, :3], tokens), config, allowed)[0]

    inputs = [torch.randn(1, 2, n, 3, dtype=torch.float64, requires_grad=True) for n in (3, 4)]
    assert torch.autograd.gradcheck(f, (*inputs, torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)))
    assert all(p.requires_grad for p in module.parameters())


def test_row_i_of_a_mask_depends_on_token_i_alone_and_columns_are_positions():
    module = LearnableMask(D, LONGEST, H, MaskConfig("lam", identity=False))
    tokens = torch.randn(1, LQ, D)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(module(tokens[:, order]), module(tokens)[:, :, order], atol=1e-6)


def test_shorter_inputs_use_the_first_columns_and_longer_ones_are_refused():
    module = LearnableMask(D, LONGEST, H, MaskConfig("lam", identity=False))
    tokens = torch.randn(1, LONGEST, D)
    assert torch.allclose(module(tokens[:, :4]), module(tokens)[:, :, :4, :4], atol=1e-6)
    with pytest.raises(HeedError, match="10 tokens are more than the mask's 9 positions"):
        module(torch.randn(1, LONGEST + 1, D))


@pytest.mark.parametrize(("dim", "longest", "expected"),
                         [(256, 107, 93_291), (768, 197, 742_085), (768, 834, 1_231_938)])
def test_parameters_are_those_of_the_formula(dim, longest, expected):
    module = LearnableMask(dim, longest, 8, MaskConfig("lam"))
    assert sum(p.numel() for p in module.parameters()) == expected


def test_many_layers_have_many_times_the_parameters_of_one_and_the_control_as_many():
    def size(mask, layers=4):
        return sum(p.numel() for p in LayerMasks(MaskConfig(mask), layers, 64, 50, 4).parameters())

    assert size("none") == 0 and size("lam-multi") == 4 * size("lam")
    assert abs(size("control") / size("lam-multi") - 1) < 0.01


def test_a_stack_shares_one_mask_or_makes_one_a_layer_and_the_control_starts_as_nothing():
    tokens = torch.randn(B, LQ, D)
    for mask, expected in (("none", None), ("lam", "shared"), ("lam-multi", "own"), ("control", None)):
        stack = LayerMasks(MaskConfig(mask, identity=False), 2, D, LONGEST, H)
        shared = stack.begin(tokens)
        given = [stack.layer(number, tokens, shared) for number in range(2)]
        assert all(torch.equal(after, tokens) for after, _ in given)
        if expected is None:
            assert given[0][1] is given[1][1] is None
        else:
            assert torch.equal(given[0][1], given[1][1]) == (expected == "shared")


def test_the_sparsity_loss_is_the_mean_distance_from_no_mask_over_valid_places():
    config = MaskConfig("lam-multi", identity=False, sparsity=0.5)
    stack, tokens = LayerMasks(config, 2, D, LONGEST, H), torch.randn(1, LQ, D)
    valid = torch.tensor([True, True, True, False])[None, None, None]
    shared = stack.begin(tokens, valid=valid)
    masks = [stack.layer(number, tokens, shared, valid=valid)[1] for number in range(2)]
    expected = 0.5 * torch.stack([(m[..., :3] - 1).abs().mean() for m in masks]).mean()
    assert torch.allclose(stack.loss(), expected)
    assert LayerMasks(replace(config, sparsity=0.0), 2, D, LONGEST, H).loss() == 0


def test_a_mask_of_zero_does_not_exclude_with_multiply_and_minus_infinity_does_with_add():
    q, k, v = tensors()
    zero = torch.zeros(1, 1, LQ, LK, dtype=torch.float64)
    assert masked_attention(q, k, v, zero, MaskConfig("lam"))[1].allclose(torch.tensor(1 / LK, dtype=torch.float64))
    zero[..., 0] = -torch.inf
    assert not masked_attention(q, k, v, zero, MaskConfig("lam", "add"))[1][..., 0].any()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_a_query_that_may_attend_to_nothing_gets_zeros_in_every_form():
    q, k, v = tensors()
    allowed = torch.ones(B, 1, LQ, LK, dtype=torch.bool)
    allowed[:, :, 1] = False
    m = torch.randn(B, 1, LQ, LK, dtype=torch.float64)
    for combine, form in (("multiply", "explicit"), ("multiply", "flex"), ("add", "sdpa"), ("reweigh", "explicit")):
        context, _ = masked_attention(q, k, v, m, MaskConfig("lam", combine), allowed, need_weights=False, form=form)
        assert not context[:, :, 1].any() and context[:, :, 0].all()


def both_forms(config, form, heads, padded, device="cpu", backward=True, dim=D):
    """Context, and gradients if wanted, of the explicit form and of ``form``."""
    allowed = torch.ones(B, 1, 1, LK, dtype=torch.bool, device=device)
    allowed[0, ..., 3:] = not padded
    results = []
    for one in ("explicit", form):
        q, k, v = (x.to(device).requires_grad_(backward) for x in tensors(dtype=torch.float32, dim=dim))
        m = torch.linspace(-1, 2, B * heads * LQ * LK, device=device).reshape(B, heads, LQ, LK).requires_grad_(backward)
        context, _ = masked_attention(q, k, v, m, config, allowed, need_weights=False, form=one)
        if backward:
            context.square().sum().backward()
        results.append([context, *(x.grad for x in (q, k, v, m) if backward)])
    return zip(*results, strict=True)


@pytest.mark.parametrize(("heads", "padded"), list(product([1, H], [0, 1])))
def test_an_added_mask_in_the_fused_form_equals_the_explicit_one_forward_and_backward(heads, padded):
    for explicit, fused in both_forms(MaskConfig("lam", "add"), "sdpa", heads, padded):
        assert torch.allclose(explicit, fused, atol=2e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(("heads", "padded"), list(product([1, H], [0, 1])))
def test_a_multiplied_mask_in_the_fused_form_equals_the_explicit_one(heads, padded):
    # FlexAttention has no backward on a CPU, which is why the route there is the explicit form.
    for explicit, fused in both_forms(MaskConfig("lam"), "flex", heads, padded, backward=False):
        assert torch.allclose(explicit, fused, atol=2e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("heads", "padded"), list(product([1, H], [0, 1])))
def test_a_multiplied_mask_in_the_fused_form_has_the_explicit_ones_gradients(heads, padded):
    # In float32, where nothing but a mistake can set them apart; with the narrowest heads that the kernel takes.
    for explicit, fused in both_forms(MaskConfig("lam"), "flex", heads, padded, "cuda", dim=NARROWEST):
        assert torch.allclose(explicit, fused, atol=1e-3)


@pytest.mark.parametrize(("combine", "device", "dtype", "dim", "options", "expected"), [
    ("multiply", "cuda", torch.bfloat16, 16, {}, "flex"),
    ("multiply", "cuda", torch.float16, 64, {}, "flex"),
    ("multiply", "cuda", torch.float32, 64, {}, "explicit"),
    ("multiply", "cuda", torch.bfloat16, 15, {}, "explicit"),
    ("multiply", "cuda", torch.bfloat16, 64, {"dropout": 0.1}, "explicit"),
    ("multiply", "cuda", torch.bfloat16, 64, {"need_weights": True}, "explicit"),
    ("multiply", "cpu", torch.bfloat16, 64, {}, "explicit"),
    ("add", "cuda", torch.float32, 6, {"dropout": 0.1}, "sdpa"),
    ("add", "cpu", torch.float32, 6, {}, "sdpa"),
    ("add", "cuda", torch.bfloat16, 64, {"need_weights": True}, "explicit"),
    ("reweigh", "cuda", torch.bfloat16, 64, {}, "explicit"),
])  # fmt: skip
def test_the_route_is_fused_only_where_the_kernel_can_and_gains(combine, device, dtype, dim, options, expected):
    assert route(MaskConfig("lam", combine), torch.device(device), dtype, dim, **options) == expected


def test_moved_attention_is_nothing_for_equal_weights_and_one_for_disjoint_ones():
    a, b = torch.tensor([[1.0, 0], [0.5, 0.5]]), torch.tensor([[0.0, 1], [0.5, 0.5]])
    assert moved(a, b).tolist() == [1, 0]


def test_an_added_mask_needs_an_output_that_can_be_nothing():
    with pytest.raises(HeedError, match="take linear"):
        LearnableMask(4, 4, 1, MaskConfig("lam", "add", "softplus"))


def test_a_control_starts_as_the_identity_and_has_the_parameters_asked_for():
    control, x = MatchedControl(32, 9_000), torch.randn(2, 3, 32)
    assert torch.equal(control(x), x)
    assert abs(sum(p.numel() for p in control.parameters()) / 9_000 - 1) < 0.01


@pytest.mark.parametrize(("combine", "form"),
                         [("add", "flex"), ("multiply", "sdpa"), ("reweigh", "sdpa"), ("reweigh", "flex")])
def test_a_form_that_computes_something_else_is_refused(combine: str, form: str) -> None:
    q = torch.zeros(1, 1, 2, 16)
    with pytest.raises(HeedError, match=f"combine {combine} has no {form} form"):
        masked_attention(q, q, q, torch.ones(1, 1, 2, 2), MaskConfig("lam", combine), form=form)
