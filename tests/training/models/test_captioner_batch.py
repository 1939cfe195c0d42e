"""What is hidden of captions: how much, how, and that it follows from (seed, epoch, caption) alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from features.errors import HeedError
from features.text.wordpiece_vocabulary import build_pieces, save_pieces
from features.text.wordpieces import WordPieces
from pipeline.annotations import Caption
from training.models.captioner_batch import Hiding, masked_loss
from training.models.captioner_config import CaptionTraining

TEXTS = [" ".join(f"word{i % 17}{'abcde'[j % 5]}" for j in range(3 + i % 9)) for i in range(400)]
CAPTIONS = [Caption(str(i), f"v{i}", text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory) -> WordPieces:
    folder = tmp_path_factory.mktemp("pieces")
    save_pieces(folder, build_pieces(TEXTS))
    return WordPieces.load(folder)


def test_half_of_the_pieces_are_told_never_cls_and_sep_like_any_other(pieces) -> None:
    hiding = Hiding(CaptionTraining(), pieces, 50)
    words, targets = hiding.shown(CAPTIONS, 0, 0)
    told = targets >= 0
    for row, caption in enumerate(CAPTIONS):
        ids = hiding.ids(caption)
        assert told[row].sum() == max(1, round(len(ids) / 2)) and not told[row, len(ids):].any()
        assert (targets[row][told[row]] == ids[told[row, : len(ids)]]).all()
        kept = ~told[row, : len(ids)]
        assert (words[row, : len(ids)][kept] == ids[kept]).all() and (words[row, len(ids):] == 0).all()
    assert not told[:, 0].any()
    last = np.array([len(hiding.ids(caption)) - 1 for caption in CAPTIONS])
    assert told[np.arange(400), last].mean() == pytest.approx(0.5 * (1 + (1 / last).mean()), abs=0.08)


def test_of_those_told_most_are_masked_some_replaced_some_left(pieces) -> None:
    hiding = Hiding(CaptionTraining(), pieces, 50)
    fate: Counter[str] = Counter()
    for epoch in range(5):
        words, targets = hiding.shown(CAPTIONS, 3, epoch)
        told = targets >= 0
        fate["masked"] += int((words[told] == hiding.specials.mask).sum())
        fate["left"] += int((words[told] == targets[told]).sum())
        fate["all"] += int(told.sum())
        assert (words[told] >= hiding.specials.mask).all() or (words[told] == hiding.specials.end).any()
    assert fate["masked"] / fate["all"] == pytest.approx(0.8, abs=0.02)
    assert fate["left"] / fate["all"] == pytest.approx(0.1, abs=0.02)


def test_what_is_hidden_follows_from_seed_epoch_and_caption(pieces) -> None:
    hiding = Hiding(CaptionTraining(), pieces, 50)
    whole, shares = hiding.shown(CAPTIONS[:8], 1, 2), [hiding.shown(CAPTIONS[i:i + 3], 1, 2) for i in (0, 3, 6)]
    for kind in range(2):
        rows = [row for share in shares for row in share[kind]]
        for row, one in zip(whole[kind], rows, strict=False):
            size = min(len(row), len(one))
            assert (row[:size] == one[:size]).all()
    assert any((hiding.shown(CAPTIONS[:8], *other)[1] != whole[1]).any() for other in ((1, 3), (2, 2)))


def test_next_hides_nothing_and_asks_for_every_piece_but_the_first(pieces) -> None:
    hiding = Hiding(CaptionTraining("next"), pieces, 50)
    words, targets = hiding.shown(CAPTIONS[:9], 0, 0)
    half = words.shape[1] // 2
    for row, caption in enumerate(CAPTIONS[:9]):
        ids = hiding.ids(caption)
        size = len(ids)
        assert words[row, :size].tolist() == ids.tolist() and not words[row, size:half].any()
        assert (words[row, half:half + size] == hiding.specials.mask).all() and not words[row, half + size:].any()
        assert targets[row, half + 1:half + size].tolist() == ids[1:].tolist()
        told = targets[row] >= 0
        assert told.sum() == size - 1 and not told[: half + 1].any()
    assert hiding.shown([], 0, 0)[0].shape == (0, 0)


def test_no_more_are_told_than_may_be(pieces) -> None:
    _, targets = Hiding(CaptionTraining(mask_rate=1.0, max_masked=3), pieces, 50).shown(CAPTIONS, 0, 0)
    assert ((targets >= 0).sum(1) == 3).all()
    short = Hiding(CaptionTraining(mask_rate=1.0), pieces, 3)
    words, targets = short.shown(CAPTIONS[:4], 0, 0)
    assert words.shape == (4, 3) and ((targets >= 0).sum(1) == 2).all()


def test_the_loss_is_the_smoothed_kullback_leibler_divergence() -> None:
    scores, targets = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 6, 2, 2, 4])
    truth = torch.full((5, 7), 0.1 / 6).scatter(1, targets[:, None], 0.9)
    wanted = torch.nn.functional.kl_div(scores.log_softmax(1), truth, reduction="none").sum(1).mean()
    assert masked_loss(scores, targets, 0.1).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert torch.allclose(masked_loss(scores, targets, 0.0), torch.nn.functional.cross_entropy(scores, targets))


def test_a_vocabulary_without_mask_is_refused(tmp_path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(HeedError, match=r"with \[MASK\]"):
        Hiding(CaptionTraining(), WordPieces.load(tmp_path), 9)
