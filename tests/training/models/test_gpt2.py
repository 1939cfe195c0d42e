"""GPT-2 gives what transformers' gives, of the same weights: at once, with padding, and token by token from a cache."""

from __future__ import annotations

import pytest
import torch
import transformers

from training.models.gpt2 import Cache, Gpt2

WORDS, LENGTH = 23, 9


@pytest.fixture(scope="module")
def both():
    config = transformers.GPT2Config(vocab_size=WORDS, n_positions=16, n_embd=24, n_layer=3, n_head=4, bos_token_id=0,
                                     eos_token_id=0)
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = Gpt2(WORDS, 16, 24, 3, 4, dropout=0.1)
    assert ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours.eval(), theirs


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    valid = torch.ones(3, LENGTH, dtype=torch.bool)
    valid[1, 2:5], valid[2, 7:] = False, False  # within, as behind a short context, and at the end
    return torch.randn(3, LENGTH, 24, generator=generator), valid


def test_logits_are_transformers_with_padding_too(both):
    ours, theirs = both
    vectors, valid = inputs()
    with torch.no_grad():
        found = ours(vectors, valid)
        wanted = theirs(inputs_embeds=vectors, attention_mask=valid.long(),
                        position_ids=(valid.long().cumsum(1) - 1)).logits
    assert (found - wanted)[valid].abs().max() < 1e-5


def test_padding_within_a_row_does_not_show(both):
    ours, _ = both
    vectors, valid = inputs()
    with torch.no_grad():
        assert torch.allclose(ours(vectors, valid)[1, 5:], ours(vectors[1:2, valid[1]], valid[1:2, valid[1]])[0, 2:],
                              atol=1e-5)


def test_a_cache_gives_the_same_token_by_token_and_follows_its_rows(both):
    ours, _ = both
    vectors, valid = inputs()
    rows = torch.tensor([2, 0, 0, 1])
    with torch.no_grad():
        whole = ours(vectors[rows], valid[rows])
        cache = Cache()
        parts = [ours(vectors[:, :4], valid[:, :4], cache)[rows]]
        cache.take(rows)
        parts += [ours(vectors[rows, place: place + 1], valid[rows, : place + 1], cache) for place in range(4, LENGTH)]
    assert torch.allclose(torch.cat(parts, 1)[valid[rows]], whole[valid[rows]], atol=1e-5)


def test_embeddings_are_the_last_layer_and_tokens_see_only_what_was_before(both):
    ours, _ = both
    tokens = torch.tensor([[4, 5, 6, 7]])
    vectors = ours.embedded(tokens).detach().requires_grad_()
    ours(vectors, torch.ones(1, 4, dtype=torch.bool))[0, 1].sum().backward()
    assert vectors.grad[0, :2].abs().sum() > 0 and not vectors.grad[0, 2:].any()
    assert ours.lm_head.weight is ours.transformer["wte"].weight and ours.width == 24
