"""The learnable mask inside torch's, Hugging Face's and timm's attention: the same network until the mask says more."""

import pytest
import torch
from torch import nn

from features.errors import HeedError
from training.attention.mask_config import MaskConfig
from training.attention.masked_bert import mask_bert
from training.attention.masked_multihead import MaskedMultiheadAttention
from training.attention.masked_vit import masked_vit

DIM, HEADS, LENGTH, LONGEST = 16, 4, 6, 9


def twins(config, seed=0, **options):
    """torch's module and heed's with the same weights."""
    torch.manual_seed(seed)
    plain = nn.MultiheadAttention(DIM, HEADS, **options)
    masked = MaskedMultiheadAttention(DIM, HEADS, LONGEST, config, **options)
    missing, unexpected = masked.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith(("learned.", "control.")) for name in missing)
    return plain, masked


@pytest.mark.parametrize("mask", ["none", "lam", "lam-multi", "control"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_an_identity_start_is_torchs_attention_bit_for_bit(mask, batch_first):
    plain, masked = twins(MaskConfig(mask), batch_first=batch_first)
    x = torch.randn(3, LENGTH, DIM)
    assert all(torch.equal(a, b) for a, b in zip(plain(x, x, x), masked(x, x, x), strict=True))


@pytest.mark.parametrize("options", [{}, {"kdim": 10, "vdim": 12}, {"bias": False}])
def test_cross_attention_padding_and_causal_masks_are_torchs(options):
    plain, masked = twins(MaskConfig("lam", cross="query"), batch_first=True, **options)
    q, k = torch.randn(2, LENGTH, DIM), torch.randn(2, 5, options.get("kdim", DIM))
    v = torch.randn(2, 5, options["vdim"]) if "vdim" in options else k
    padding = torch.tensor([[False] * 5, [False, False, True, False, True]])
    causal = torch.ones(LENGTH, 5, dtype=torch.bool).triu(1)
    for more in ({"key_padding_mask": padding}, {"attn_mask": causal}, {"attn_mask": causal.float() * -3},
                 {"attn_mask": causal.repeat(2 * HEADS, 1, 1), "average_attn_weights": False},
                 {"attn_mask": causal, "key_padding_mask": padding}):
        for a, b in zip(plain(q, k, v, **more), masked(q, k, v, **more), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("combine", ["multiply", "add", "reweigh"])
def test_a_mask_does_what_the_formula_says(combine):
    _, masked = twins(MaskConfig("lam", combine, output="softplus" if combine == "reweigh" else "linear",
                                 identity=False), batch_first=True)
    x = torch.randn(2, LENGTH, DIM)
    padding = torch.tensor([[False] * LENGTH, [False] * 4 + [True] * 2])
    _, weights = masked(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    q, k, _ = nn.functional.linear(x, masked.in_proj_weight, masked.in_proj_bias).chunk(3, -1)
    q, k = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (q, k))
    scores, m = q @ k.transpose(-1, -2) / 2, masked.learned(x)  # sqrt(16 / 4) = 2
    scores = {"multiply": scores * m, "add": scores + m, "reweigh": scores}[combine]
    expected = torch.softmax(scores.masked_fill(padding[:, None, None], -torch.inf), -1)
    if combine == "reweigh":
        expected = expected * m / (expected * m).sum(-1, keepdim=True)
    assert torch.allclose(weights, expected, atol=1e-6) and not weights[1, ..., 4:].any()


def test_it_stands_in_a_transformer_layer_and_learns_there():
    layer = nn.TransformerEncoderLayer(DIM, HEADS, 32, dropout=0.0, batch_first=True)
    plain = layer(x := torch.randn(2, LENGTH, DIM))
    masked = MaskedMultiheadAttention(DIM, HEADS, LONGEST, MaskConfig("lam"), batch_first=True)
    masked.load_state_dict(layer.self_attn.state_dict(), strict=False)
    layer.self_attn = masked
    assert torch.allclose(layer(x), plain, atol=1e-6)
    layer(x).square().sum().backward()
    assert masked.learned.network[-1].weight.grad.abs().sum() > 0
    layer.eval()
    with torch.no_grad():  # torch's fast path would pass the mask by
        nn.init.normal_(masked.learned.network[-1].weight)
        changed = layer(x)
    assert not torch.allclose(changed, plain, atol=1e-3)


def test_one_sequence_without_a_batch_and_a_mask_from_outside():
    plain, masked = twins(MaskConfig("lam"), batch_first=True)
    x = torch.randn(LENGTH, DIM)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain(x, x, x), masked(x, x, x), strict=True))
    uniform = masked(x, x, x, mask=torch.zeros(1, 1, LENGTH, LENGTH))[1]
    assert torch.allclose(uniform, torch.full_like(uniform, 1 / LENGTH))
    with pytest.raises(ValueError, match="add_zero_attn"):
        MaskedMultiheadAttention(DIM, HEADS, LONGEST, MaskConfig("lam"), add_zero_attn=True)


def bert(seed=0):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    settings = transformers.BertConfig(
        vocab_size=30, hidden_size=DIM, num_hidden_layers=3, num_attention_heads=HEADS, intermediate_size=32,
        max_position_embeddings=LONGEST, attn_implementation="eager")
    return transformers.BertModel(settings).eval()


@pytest.mark.parametrize("mask", ["none", "lam", "lam-multi", "control"])
def test_an_identity_start_is_berts_output_bit_for_bit_with_padding(mask):
    words = torch.arange(12).reshape(2, 6)
    padding = torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        plain = bert()(words, padding, output_attentions=True)
        model = bert()
        masks = mask_bert(model, MaskConfig(mask))
        found = model(words, padding, output_attentions=True)
    assert torch.equal(plain.last_hidden_state, found.last_hidden_state)
    assert all(torch.equal(a, b) for a, b in zip(plain.attentions, found.attentions, strict=True))
    assert (sum(p.numel() for p in masks.parameters()) == 0) == (mask == "none")


def test_a_mask_in_bert_learns_keeps_out_of_the_padding_and_is_saved_with_the_model():
    model = bert()
    masks = mask_bert(model, MaskConfig("lam-multi", identity=False, sparsity=0.1))
    words, padding = torch.arange(6)[None], torch.tensor([[1, 1, 1, 1, 0, 0]])
    found = model(words, padding, output_attentions=True)
    assert all(not weights[..., 4:].any() for weights in found.attentions)
    (found.last_hidden_state.square().sum() + masks.loss()).backward()
    assert all(p.grad is not None for p in masks.masks[2].parameters()) and masks.loss() > 0
    assert any(name.startswith("heed_masks.masks.2.") for name in model.state_dict())
    other = torch.cat([words[:, :4], torch.tensor([[20, 21]])], 1)
    assert torch.allclose(model(other, padding).last_hidden_state[:, :4], found.last_hidden_state[:, :4], atol=1e-6)


def test_a_mask_in_bert_is_refused_where_it_has_no_place():
    model = bert()
    mask_bert(model, MaskConfig("lam"))
    with pytest.raises(HeedError, match="already"):
        mask_bert(model, MaskConfig("lam"))
    with pytest.raises(HeedError, match=r"no encoder\.layer"):
        mask_bert(nn.Linear(2, 2), MaskConfig("lam"))


SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 4, "num_classes": 5}


def vit(config, seed=0):
    pytest.importorskip("timm")
    torch.manual_seed(seed)
    model = masked_vit("vit_tiny_patch16_224", config, **SMALL).eval()
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


@pytest.mark.parametrize("mask", ["lam", "lam-multi", "control"])
def test_an_identity_start_is_timms_vit_bit_for_bit(mask):
    plain, masked = vit(MaskConfig("none")), vit(MaskConfig(mask))
    missing, unexpected = masked.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and missing and all(name.startswith("masks.") for name in missing)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(x), masked(x))


@pytest.mark.parametrize("combine", ["multiply", "add"])
def test_a_mask_in_a_vit_learns_and_its_fused_form_is_the_same(combine):
    model = vit(MaskConfig("lam-multi", combine, identity=False))
    x = torch.randn(2, 3, 32, 32)
    explicit = model(x)
    explicit.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.masks.parameters() if p.dim() > 1)
    for block in model.blocks:
        block.attn.fused_attn = True
    assert torch.allclose(model(x), explicit, atol=1e-5)


def test_a_vit_that_cannot_have_a_mask_is_refused():
    pytest.importorskip("timm")
    with pytest.raises(HeedError, match="no architecture"):
        masked_vit("vit_huge_patch1", MaskConfig("lam"))
    with pytest.raises(HeedError, match="mask"):
        masked_vit("resnet18", MaskConfig("lam"))
