"""SCAN's encoders, its loss and its whole: against PyTorch run caption by caption, and sums by hand."""

from __future__ import annotations

import pytest
import torch

from training.attention.config import AttentionConfig
from training.models.scan import Scan, hinge_loss, length_mask
from training.models.scan_config import ScanConfig

FEATURES, VOCABULARY = 6, 12


def model(**options: object) -> Scan:
    torch.manual_seed(0)
    return Scan(ScanConfig(embed_dim=8, word_dim=5, **options), AttentionConfig("general"), FEATURES, VOCABULARY)


def captions() -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([3, 7, 1, 4])
    tokens = torch.randint(4, VOCABULARY, (4, 7), generator=torch.Generator().manual_seed(1))
    return tokens.masked_fill(~length_mask(lengths, 7), 0), lengths


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_captions_are_encoded_as_each_would_be_alone(norm: bool, bidirectional: bool) -> None:
    scan, (tokens, lengths) = model(bidirectional=bidirectional, text_norm=norm), captions()
    words = scan.encode_captions(tokens, lengths)
    encoder = scan.text_encoder
    plain = torch.nn.GRU(encoder.rnn.input_size, 8, batch_first=True, bidirectional=bidirectional)
    plain.load_state_dict(encoder.rnn.state_dict())
    for i, length in enumerate(lengths.tolist()):
        states, _ = plain(encoder.embed(tokens[i:i + 1, :length]))
        if bidirectional:
            states = (states[..., :8] + states[..., 8:]) / 2
        expected = states[0] / states[0].norm(dim=-1, keepdim=True) if norm else states[0]
        torch.testing.assert_close(words[i, :length], expected, atol=1e-6, rtol=1e-5)
        assert (words[i, length:] == 0).all()


@pytest.mark.parametrize("norm", [True, False])
def test_images_are_projected_and_padding_is_zero_whatever_it_held(norm: bool) -> None:
    scan, mask = model(image_norm=norm), length_mask(torch.tensor([3, 0]), 3)
    features = torch.randn(2, 3, FEATURES).half()
    images = scan.encode_images(features.masked_fill(~mask[..., None], torch.nan), mask)
    expected = features[0].float() @ scan.image_encoder.fc.weight.T + scan.image_encoder.fc.bias
    torch.testing.assert_close(images[0], expected / expected.norm(dim=-1, keepdim=True) if norm else expected)
    assert (images[1] == 0).all() and images.dtype == torch.float32


def test_first_weights_and_parameter_names_are_the_published_ones() -> None:
    scan = Scan(ScanConfig(embed_dim=64, word_dim=50), AttentionConfig(), 128, 400)
    assert {f"{part}.{name}".removesuffix("_reverse") for part in ("image_encoder", "text_encoder")
            for name in scan.get_submodule(part).state_dict()} == {
        "image_encoder.fc.weight", "image_encoder.fc.bias", "text_encoder.embed.weight",
        "text_encoder.rnn.weight_ih_l0", "text_encoder.rnn.weight_hh_l0",
        "text_encoder.rnn.bias_ih_l0", "text_encoder.rnn.bias_hh_l0"}
    xavier = (6 / (128 + 64)) ** 0.5
    for weight, bound in ((scan.image_encoder.fc.weight, xavier), (scan.text_encoder.embed.weight, 0.1)):
        assert 0.99 * bound < weight.abs().max().item() <= bound
    assert (scan.image_encoder.fc.bias == 0).all()


def test_a_whole_step_gives_every_parameter_a_finite_gradient_and_padding_none() -> None:
    scan, (tokens, lengths) = model(), captions()
    mask = length_mask(torch.tensor([3, 2, 3, 1]), 3)
    features = torch.randn(4, 3, FEATURES, generator=torch.Generator().manual_seed(2)).requires_grad_()
    hinge_loss(scan(features, mask, tokens, lengths), 0.2, max_violation=True).backward()
    for name, parameter in scan.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name
    assert (features.grad[~mask] == 0).all()
    assert (scan.text_encoder.embed.weight.grad[0] == 0).all()  # <pad>


def test_four_pairs_are_learnt_by_heart_in_forty_steps() -> None:
    scan, (tokens, lengths) = model(), captions()
    features = torch.randn(4, 3, FEATURES, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(4, 3, dtype=torch.bool)
    optimiser = torch.optim.Adam(scan.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        loss = hinge_loss(scan(features, mask, tokens, lengths), 0.2, max_violation=True)
        loss.backward()
        optimiser.step()
    scores = scan(features, mask, tokens, lengths)
    assert loss.item() < 0.05
    assert scores.argmax(0).tolist() == scores.argmax(1).tolist() == [0, 1, 2, 3]


SIMILARITIES = torch.tensor([[0.5, 0.4, 0.6], [0.0, 0.3, 0.2], [0.45, 0.1, 0.9]])
# Costs by hand, margin 0.2. Rows (captions told from an image's own): .1 .3 / 0 .1 / 0 0; columns: 0 .15 / .3 0 / 0 0.


def test_the_loss_sums_the_violations_of_all_negatives() -> None:
    assert hinge_loss(SIMILARITIES, 0.2, max_violation=False).item() == pytest.approx(0.1 + 0.3 + 0.1 + 0.15 + 0.3)


def test_the_loss_with_max_violation_takes_the_hardest_negative_only() -> None:
    assert hinge_loss(SIMILARITIES, 0.2, max_violation=True).item() == pytest.approx(0.3 + 0.1 + 0.15 + 0.3)


def test_pairs_that_are_no_negatives_cost_nothing() -> None:
    ignore = torch.zeros(3, 3, dtype=torch.bool)
    ignore[0, 2] = ignore[2, 0] = True
    assert hinge_loss(SIMILARITIES, 0.2, True, ignore).item() == pytest.approx(0.1 + 0.1 + 0.3)
