"""M4C against the formulas of the study (§1.3, §1.4 of its facts) and against itself computed another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.training.models.m4c_inputs import SIZES, inputs
from training.attention.config import AttentionConfig
from training.models.bert_layers import SCALED_DOT, BertShape, SelfAttention
from training.models.m4c import M4c, M4cSizes, decoding_loss
from training.models.m4c_config import M4cConfig

CONFIG = M4cConfig(hidden=24, heads=3, layers=2, feedforward=40, text_hidden=16, text_layers=2, text_heads=2,
                   text_feedforward=30, steps=5)
SHAPE = BertShape(12, 3, 20, 1, 0.0)


def model(attention: AttentionConfig = SCALED_DOT, seed: int = 0, **options) -> M4c:
    torch.manual_seed(seed)
    sizes = M4cSizes(SIZES["pieces"], SIZES["answers"], SIZES["objects"], SIZES["words"], True)
    made = M4c(replace(CONFIG, **options), attention, sizes).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return made


def layer(score: str, side: str = "key", swap: bool = False, seed: int = 0) -> SelfAttention:
    torch.manual_seed(seed)
    return SelfAttention(SHAPE, AttentionConfig(score, side), swap).eval()


def weights(of: SelfAttention, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    found = of(states, of.see(states), mask[:, None, None], True)[1]
    assert found is not None
    return found


@pytest.fixture
def states() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(2, 5, 12), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()


@pytest.mark.parametrize(("score", "side"), [
    ("dot", "key"), ("scaled_dot", "key"), ("general", "key"), ("general", "query"), ("biased_general", "key"),
    ("biased_general", "query"), ("activated_general", "key"), ("activated_general", "query")])
@pytest.mark.parametrize("swap", [False, True])
def test_weights_are_those_of_the_formula_written_out(states, score, side, swap):
    of = layer(score, side, swap)
    x, mask = states

    def heads(linear):
        return torch.stack(linear(x).split(4, -1), 1)

    q, k = heads(of.query), heads(of.key)
    w = of.score.project if "general" in score else lambda v: v
    if side == "key":
        scores = q @ w(k).mT
    elif swap:
        scores = k @ w(q).mT  # rows are key positions, softmax over query positions
    else:
        scores = w(q) @ k.mT
    scores = scores / 2 if score == "scaled_dot" else F.relu(scores) if score.startswith("act") else scores
    expected = (scores + (~mask[:, None, None]) * -10000.0).softmax(-1)
    assert (weights(of, x, mask) - expected).abs().max() < 1e-6


def exchanged(of: SelfAttention) -> dict[str, torch.Tensor]:
    swap = {"query": "key", "key": "query"}
    return {".".join([swap.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]): value
            for name, value in of.state_dict().items()}


@pytest.mark.parametrize("score", ["general", "biased_general", "activated_general"])
def test_published_kwq_is_qwk_with_the_names_of_two_projections_exchanged(states, score):
    published, other = layer(score, "query", swap=True), layer(score, "key", seed=1)
    other.load_state_dict(exchanged(published))
    assert torch.equal(weights(published, *states), weights(other, *states))


def test_correct_kwq_is_qwk_with_w_transposed(states):
    kwq, qwk = layer("general", "query"), layer("general", "key", seed=1)
    qwk.load_state_dict(kwq.state_dict())
    with torch.no_grad():
        qwk.score.project.weight.copy_(kwq.score.project.weight.T)
    assert (weights(kwq, *states) - weights(qwk, *states)).abs().max() < 1e-6


@pytest.mark.parametrize(("side", "swap", "same"), [
    ("key", False, True), ("query", True, True), ("query", False, False)])
def test_the_bias_cancels_but_for_the_correct_kwq(states, side, swap, same):
    biased, plain = layer("biased_general", side, swap), layer("general", side, swap, seed=1)
    plain.load_state_dict({name: value for name, value in biased.state_dict().items() if name != "score.project.bias"})
    gap = (weights(biased, *states) - weights(plain, *states)).abs().max()
    assert gap < 1e-6 if same else gap > 0.01


def test_general_is_dot_with_w_folded_into_the_keys(states):
    general, dot = layer("general"), layer("dot", seed=1)
    w = general.score.project.weight
    folded = general.state_dict()
    w = folded.pop("score.project.weight")
    folded["key.weight"] = torch.block_diag(w, w, w) @ folded["key.weight"]
    folded["key.bias"] = torch.block_diag(w, w, w) @ folded["key.bias"]
    dot.load_state_dict(folded)
    assert (weights(general, *states) - weights(dot, *states)).abs().max() < 1e-6


def test_scaled_dot_is_dot_with_keys_halved(states):
    scaled, dot = layer("scaled_dot"), layer("dot", seed=1)
    state = scaled.state_dict()
    dot.load_state_dict(state | {name: state[name] / 2 for name in ("key.weight", "key.bias")})
    assert (weights(scaled, *states) - weights(dot, *states)).abs().max() < 1e-6


def test_greedy_decoding_is_teacher_forcing_with_ones_own_words():
    made = model()
    batch, _ = inputs()
    with torch.no_grad():
        said, decoded = made.answer(batch, start=1, end=None)
        previous = torch.cat([torch.ones_like(said[:, :1]), said[:, :-1]], 1)
        assert torch.equal(made(batch, previous).argmax(-1), said)
        shorter, _ = made.answer(batch, start=1, end=int(said[0, 0]))
    assert decoded.scores.shape == (3, 5, SIZES["answers"] + SIZES["slots"])
    assert torch.equal(shorter, said[:, : shorter.shape[1]])


def test_what_is_said_later_does_not_change_what_was_said():
    made = model()
    batch, previous = inputs()
    changed = previous.clone()
    changed[:, 3:] = 7
    with torch.no_grad():
        first, second = made(batch, previous), made(batch, changed)
    assert torch.equal(first[:, :3], second[:, :3]) and not torch.equal(first[:, 3:], second[:, 3:])


@pytest.mark.parametrize("score", ["scaled_dot", "activated_general"])
def test_padding_changes_nothing(score):
    made = model(AttentionConfig(score, init="normal_002"))
    batch, previous = inputs(slots=9)
    torch.manual_seed(1)
    with torch.no_grad():
        before = made(batch, previous)
        after = made(replace(
            batch, tokens=batch.tokens.masked_fill(~batch.token_mask, 9),
            objects=torch.where(batch.object_mask[..., None], batch.objects, torch.randn_like(batch.objects)),
            words=tuple(torch.where(batch.word_mask[..., None], part, torch.randn_like(part)) for part in batch.words),
        ), previous)
    real = torch.cat([torch.ones(3, SIZES["answers"], dtype=torch.bool), batch.word_mask], 1)[:, None].expand_as(before)
    said = (previous < SIZES["answers"] + 2)[..., None]  # a step told a padded word does depend on it
    chosen = real & said.cumprod(1).bool()
    assert chosen.any() and (before - after).abs()[chosen].max() < 1e-5
    assert (before[~real] < -5000).all()


def test_attention_of_a_step_sums_to_one_over_what_is_there():
    made = model()
    batch, _ = inputs(slots=9)
    with torch.no_grad():
        _, decoded = made.answer(batch, start=1, end=None, weights=True)
    assert [found.shape for found in decoded.attention] == [(3, 3, 5, 6 + 5 + 9 + 5)] * 2
    mask = torch.cat([batch.token_mask, batch.object_mask, batch.word_mask], 1)
    for found in decoded.attention:
        assert (found.sum(-1) - 1).abs().max() < 1e-5
        assert (found[..., :20].masked_select(~mask[:, None, None].expand_as(found[..., :20])) == 0).all()
        assert (found[..., 20:].triu(1) == 0).all()


def test_an_image_without_words_is_answered_from_the_vocabulary():
    made = model()
    batch, _ = inputs(slots=9)
    batch = replace(batch, words=tuple(part[:, :0] for part in batch.words), word_objects=batch.word_objects[:, :0],
                    word_boxes=batch.word_boxes[:, :0], word_mask=batch.word_mask[:, :0])
    with torch.no_grad():
        said, _ = made.answer(batch, start=1, end=2)
    assert (said < SIZES["answers"]).all()


def test_loss_is_the_published_one():
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 3, 4))
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    p = 1 / (1 + np.exp(-scores))
    losses = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(-1)
    found = decoding_loss(*(torch.tensor(x, dtype=torch.float64) for x in (scores, targets, mask)))
    assert float(found) == pytest.approx((losses * mask).sum() / 3, rel=1e-5)
    nothing = decoding_loss(torch.tensor(scores), torch.tensor(targets), torch.zeros(2, 3))
    assert float(nothing) == 0


def test_first_weights_have_the_deviation_asked_for_and_w_its_own_law():
    torch.manual_seed(0)
    sizes = M4cSizes(SIZES["pieces"], SIZES["answers"], SIZES["objects"], SIZES["words"], True)
    made = M4c(replace(CONFIG, hidden=96, feedforward=96, init_deviation=0.07),
               AttentionConfig("biased_general", init="xavier"), sizes)
    attention = made.mmt.encoder.layer[0].attention.self
    assert float(attention.query.weight.std()) == pytest.approx(0.07, rel=0.05)
    assert not attention.query.bias.any() and not attention.score.project.bias.any()
    bound = (6 / 64) ** 0.5  # xavier's of a (32, 32) matrix
    assert bound * 0.95 < float(attention.score.project.weight.abs().max()) <= bound
