"""The captioner with its masks: where attention may go, the identity start, padding, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from features.errors import HeedError
from training.attention.mask_config import MaskConfig
from training.attention.mask_maps import recorded
from training.models.captioner import Captioner, may_see
from training.models.captioner_config import CaptionerConfig, CaptionWriting
from training.models.captioner_sparse import SparseMask
from training.models.captioner_video import ClipTokens

SMALL = CaptionerConfig(dim=24, heads=4, feedforward=32, layers=2, dropout=0.0, video_dim=0, max_clips=6, max_tokens=9)
MASKS = [MaskConfig(), MaskConfig("lam"), MaskConfig("lam-multi"), MaskConfig("control"),
         MaskConfig("lam-multi", combine="add"), MaskConfig("lam", combine="reweigh", output="softplus"),
         MaskConfig("lam", length="bilinear"), MaskConfig("lam-multi", heads="each", cross="key")]


def build(mask: MaskConfig, config: CaptionerConfig = SMALL) -> Captioner:
    torch.manual_seed(0)
    return Captioner(config, mask, 120, 7).eval()


def inputs(tokens: int = 5, clips: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    shown = torch.ones(3, clips, dtype=torch.bool)
    shown[1, 2:] = False
    video = torch.randn(3, clips, 7, generator=draw) * shown[..., None]
    return torch.randint(106, 118, (3, tokens), generator=draw), video, shown


@pytest.mark.parametrize("mask", MASKS[1:])
def test_a_model_whose_mask_starts_as_none_is_the_plain_one_bit_for_bit(mask: MaskConfig) -> None:
    plain, masked = build(MASKS[0]), build(mask)
    with torch.no_grad():
        states = plain(*inputs())
        if mask.combine == "reweigh":  # weights are normalised once more, which rounds
            assert torch.allclose(masked(*inputs()), states, atol=1e-6)
        else:
            assert torch.equal(masked(*inputs()), states)


@pytest.mark.parametrize("mask", MASKS)
def test_what_comes_later_in_a_caption_changes_nothing_before_it(mask: MaskConfig) -> None:
    torch.manual_seed(0)
    model = Captioner(SMALL, replace(mask, identity=False), 120, 7).eval()
    words, video, shown = inputs()
    other = words.clone()
    other[:, 3:] += torch.tensor([[1, -1]])
    with torch.no_grad():
        first, second, longer = (model(w, video, shown) for w in (words, other, torch.cat([words, words], 1)[:, :9]))
        changed = model(torch.cat([other[:, :1] + 1, other[:, 1:]], 1), video, shown)
    assert torch.allclose(first[:, :3], second[:, :3], atol=1e-6)
    assert not torch.allclose(first[:, 3:], second[:, 3:], atol=1e-3)
    assert torch.allclose(first, longer[:, :5], atol=1e-6)
    assert not torch.allclose(changed[:, 4], second[:, 4], atol=1e-4)  # the first piece does count


@pytest.mark.parametrize("mask", MASKS)
def test_padding_behind_a_video_changes_nothing(mask: MaskConfig) -> None:
    torch.manual_seed(0)
    model = Captioner(SMALL, replace(mask, identity=False), 120, 7).eval()
    words, video, shown = inputs()
    noise = torch.where(shown[..., None], video, torch.full_like(video, 50.0))
    with torch.no_grad():
        whole, alone = model(words, video, shown), model(words[1:2], video[1:2, :2], shown[1:2, :2])
        assert torch.allclose(whole[1:2], alone, atol=1e-5)
        assert torch.allclose(whole, model(words, noise, shown), atol=1e-5)
        without = model(words, video, torch.zeros_like(shown))
    assert not torch.allclose(whole, without, atol=1e-3)


def test_pieces_see_earlier_pieces_and_clips_and_clips_see_clips() -> None:
    shown = torch.tensor([[True, True], [True, False]])
    allowed = may_see(3, shown)[:, 0].int().numpy()
    assert allowed[0].tolist() == [[1, 0, 0, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]
    assert allowed[1, :, 3:].tolist() == [[1, 0]] * 5


@pytest.mark.parametrize(("mask", "sparse"), [*((mask, "none") for mask in MASKS), (MaskConfig(), "soft")])
def test_what_is_asked_of_a_whole_caption_is_what_writing_asks_piece_by_piece(mask: MaskConfig, sparse: str) -> None:
    torch.manual_seed(0)
    model = Captioner(replace(SMALL, sparse_mask=sparse), replace(mask, identity=False), 120, 7).eval()
    words, video, shown = inputs()
    words[2, 3:] = 0
    hidden = torch.full_like(words, 103)
    with torch.no_grad():
        asked = model(torch.cat([words, hidden], 1), video, shown, asked=True)
        assert torch.allclose(asked[:, :5], model(words, video, shown), atol=1e-5)
        for place in range(1, 5):
            written = model(torch.cat([words[:, :place], hidden[:, :1]], 1), video, shown)
            assert torch.allclose(asked[:, 5 + place], written[:, -1], atol=1e-5)
    assert not torch.allclose(asked[:, 6], asked[:, 7], atol=1e-3)


@pytest.mark.parametrize(("mask", "sparse"), [*((mask, "none") for mask in MASKS), (MaskConfig(), "soft")])
@pytest.mark.parametrize("parts", [1, 3])
def test_clips_that_were_watched_once_are_seen_as_when_all_is_computed_together(mask, sparse: str, parts: int) -> None:
    torch.manual_seed(0)
    model = Captioner(replace(SMALL, sparse_mask=sparse, parts=parts), replace(mask, identity=False), 120, 6, 3).eval()
    words, _, shown = inputs()
    video = torch.randn(3, 4, 9, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        watched = model.watch(video, shown)
        for length in (1, 5):
            assert torch.allclose(model.written(words[:, :length], watched), model(words[:, :length], video, shown),
                                  atol=1e-5)
        twice = model.written(words.repeat_interleave(2, 0), watched.repeated(2))
        assert torch.allclose(twice[1::2], model(words, video, shown), atol=1e-5)


def test_weights_keep_to_what_may_be_seen_and_are_kept_for_who_looks() -> None:
    model, (words, video, shown) = build(MaskConfig("lam-multi", identity=False)), inputs()
    with torch.no_grad(), recorded(model) as seen:
        model(words, video, shown)
    assert list(seen) == [f"bert.encoder.layer.{n}.attention.self" for n in range(2)]
    for calls in seen.values():
        weights, allowed = calls[0].weights, may_see(5, shown)
        assert weights.shape == (3, 4, 9, 9) and calls[0].mask is not None and calls[0].mask.shape == (3, 1, 9, 9)
        assert (weights[~allowed.expand_as(weights)] == 0).all()
        assert torch.allclose(weights.sum(-1), torch.ones(3, 4, 9), atol=1e-5)


def test_a_clips_column_in_the_mask_is_the_same_however_long_the_caption_is() -> None:
    model = build(MaskConfig("lam", identity=False))
    words, video, shown = inputs()
    with torch.no_grad(), recorded(model) as seen:
        model(words, video, shown)
        model(words[:, :2], video, shown)
    long, short = (call.mask for call in seen["bert.encoder.layer.0.attention.self"])
    assert long is not None and short is not None and torch.allclose(long[:, :, :2, 5:], short[:, :, :2, 2:], atol=1e-6)


def test_the_sparse_mask_by_hand() -> None:
    mask = SparseMask(3, hard=False)
    with torch.no_grad():
        mask.weight.copy_(torch.tensor([5.0, 0, 2, -2, 7, 0, 1, -1, 9])[:, None])
    m = 1 / (1 + np.exp(-np.array([[np.inf, 0, 2], [-2, np.inf, 0], [1, -1, np.inf]])))
    added = mask(2, 3).detach().numpy()[0, 0]
    assert np.allclose(added[2:, 2:], (1 - m) * -10000, rtol=1e-4, atol=1e-2)
    assert (added[:2] == 0).all() and (added[:, :2] == 0).all()
    off = [1 / (1 + np.exp(-x)) for x in (0, 2, -2, 0, 1, -1)]
    assert mask.loss().item() == pytest.approx(sum(off) / 9)
    hard = SparseMask(3, hard=True)
    hard.load_state_dict(mask.state_dict())
    assert (hard(0, 2).detach().numpy()[0, 0] == [[0, 0], [-10000, 0]]).all()


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_sparse_mask_learns_from_its_own_loss_and_soft_from_the_words_too(kind: str) -> None:
    model = build(MASKS[0], replace(SMALL, sparse_mask=kind))  # type: ignore[arg-type]
    with torch.no_grad():
        model.learn_vid_att.weight.fill_(9.0)  # nearly open: a mask that is shut passes no gradient on
    model(*inputs()).square().sum().backward()
    grad = model.learn_vid_att.weight.grad
    assert (grad is not None and bool(grad.abs().sum() > 0)) == (kind == "soft")
    loss: Any = model.mask_loss()
    loss.backward()
    assert model.learn_vid_att.weight.grad.abs().sum() > 0


PARTS = replace(SMALL, parts=3)


def test_clips_are_cut_into_parts_each_with_its_place_and_another_stores_token() -> None:
    cut = ClipTokens(PARTS, (6, 4))  # three parts of two numbers, then two of another store, then the place
    video = torch.arange(2 * 3 * 10.0).view(2, 3, 10)
    parts, others = cut(video)
    assert cut.tokens == 4 and cut.dim == 4 and parts.shape == (2, 3, 3, 4) and others is not None
    assert parts[1, 2].tolist() == [[50, 51, 58, 59], [52, 53, 58, 59], [54, 55, 58, 59]]
    assert torch.equal(others, cut.others(video[..., None, 6:]))
    joined = cut.joined(torch.zeros(2, 3, 3, 24), others)
    assert joined.shape == (2, 12, 24)
    assert torch.equal(joined[0, 4:7], cut.part_embedding.weight[:3])
    assert torch.allclose(joined[0, 7], others[0, 1, 0] + cut.part_embedding.weight[3])
    alone = ClipTokens(PARTS, (8,))
    parts, others = alone(video[..., :8])
    assert alone.tokens == 3 and others is None and parts[0, 0].tolist() == [[0, 1, 6, 7], [2, 3, 6, 7], [4, 5, 6, 7]]
    with pytest.raises(HeedError, match=r"have 7 numbers, which are not --model\.parts 3 vectors"):
        ClipTokens(PARTS, (7, 4))


@pytest.mark.parametrize("kind", ["none", "lam", "lam-multi", "control", "sparse"])
def test_a_captioner_of_parts_keeps_padding_out_and_starts_as_the_plain_one(kind: str) -> None:
    def made(mask: str, sparse: str = "none") -> Captioner:
        torch.manual_seed(0)
        config = replace(PARTS, sparse_mask=sparse)  # type: ignore[arg-type]
        return Captioner(config, MaskConfig(mask), 120, 6, 3).eval()  # type: ignore[arg-type]

    model = made("none", "soft") if kind == "sparse" else made(kind)
    words, _, shown = inputs()
    video = torch.randn(3, 4, 9, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = model(words, video, shown)
        alone = model(words[1:2], video[1:2, :2], shown[1:2, :2])
        assert torch.allclose(whole[1:2], alone, atol=1e-5)
        assert not torch.allclose(whole, model(words, video.flip(1), shown), atol=1e-3)
        if kind != "sparse":
            assert torch.equal(whole, made("none")(words, video, shown))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Captioner(replace(SMALL, sparse_mask="soft"), MaskConfig("lam"), 120, 7), "take it, or --mask.mask"),
    (lambda: Captioner(SMALL, MaskConfig("lam", cross="both"), 120, 7), "pieces that are not written yet"),
    (lambda: Captioner(SMALL, MaskConfig("lam", length="interpolate"), 120, 7), "positions or bilinear"),
    (lambda: CaptionerConfig(dim=10, heads=4), "cannot be shared out among 4 heads"),
    (lambda: CaptionerConfig(max_tokens=2), "at least 3"),
    (lambda: CaptionWriting(beams=0), "at least 1"),
    (lambda: build(MASKS[0])(*inputs(tokens=10)), "not 10 and 4"),
])
def test_what_cannot_be_is_refused_in_a_sentence(make, words: str) -> None:
    with pytest.raises(HeedError, match=words):
        make()
