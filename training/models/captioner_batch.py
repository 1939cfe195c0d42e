"""Captions with pieces hidden, and what is to be told of them: SwinBERT's masked-language training, or the next piece.

Of a caption of n pieces, [CLS] and [SEP] among them, max(1, round(rate n)) are to be told, at most so many; never
[CLS], but [SEP] like any other, for it says that the caption ends. 80 % of them become [MASK], 10 % another piece, 10 %
stay (microsoft/SwinBERT, src/datasets/caption_tensorizer.py). What is hidden of a caption follows from (seed, epoch,
caption), so that it is the same however batches are cut and shared out.

When a caption is written nothing before the next piece is hidden. The objective ``next`` trains that very case, of all
pieces at once: nothing is hidden, and behind the caption stands a [MASK] for each of its pieces, which sees the pieces
before that one (the pseudo-masked language model of UniLM 2, Bao et al., ICML 2020, arXiv 2002.12804, with blocks of
one piece).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from features.errors import HeedError
from features.text.wordpieces import WordPieces
from pipeline.annotations import Caption
from pipeline.padding import padding_mask
from training.models.captioner_config import CaptionTraining
from training.models.decoding import Specials
from training.models.masking import LEFT, mask_words


@dataclass(frozen=True)
class Lesson:
    """A batch as the model is shown it, and what it is to tell."""

    words: Tensor
    """(batch, pieces) int64, zero behind each caption's last; with the objective next, (batch, 2 pieces): behind them
    [MASK] for each of them."""
    targets: Tensor
    """Of the same shape, int64: the true piece where it is to be told, else -1."""
    video: Tensor
    """(batch, clips, d) float32, zero behind each video's last clip."""
    video_mask: Tensor
    """(batch, clips) bool, True where there is a clip."""


class Hiding:
    """Draws what is hidden of captions."""

    def __init__(self, config: CaptionTraining, pieces: WordPieces, most: int) -> None:
        """``most``: pieces of a caption at most. `HeedError` where the vocabulary lacks [MASK] or [PAD] is not 0."""
        self.config, self.pieces, self.most = config, pieces, most
        self.specials = specials_of(pieces)
        self.names = {number: piece for piece, number in pieces.tokenizer.get_vocab().items()}
        special = (self.specials.pad, self.specials.begin, self.specials.end, self.specials.mask)
        self.ordinary = (max(special) + 1, len(pieces))
        self._ids: dict[str, np.ndarray] = {}

    def ids(self, caption: Caption) -> np.ndarray:
        """A caption's pieces, cut once."""
        if caption.id not in self._ids:
            self._ids[caption.id] = self.pieces.encode(caption.text, self.most).ids
        return self._ids[caption.id]

    def shown(self, captions: Sequence[Caption], seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(pieces to show, targets), int64 each, as `Lesson` has them."""
        if not captions:  # the share of a worker for which a batch has nothing left
            return np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64)
        if self.config.objective == "next":
            return self._asked([self.ids(caption) for caption in captions])
        parts = [self._hidden(caption, seed, epoch) for caption in captions]
        mask = padding_mask(np.array([len(shown) for shown, _ in parts]), max(len(shown) for shown, _ in parts))
        words, targets = np.zeros(mask.shape, np.int64), np.full(mask.shape, LEFT, np.int64)
        words[mask] = np.concatenate([shown for shown, _ in parts])
        targets[mask] = np.concatenate([target for _, target in parts])
        return words, targets

    def _asked(self, captions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        mask = padding_mask(np.array([len(ids) for ids in captions]), max(len(ids) for ids in captions))
        words, told = np.zeros(mask.shape, np.int64), np.full(mask.shape, LEFT, np.int64)
        words[mask] = told[mask] = np.concatenate(captions)
        told[:, 0] = LEFT  # never [CLS]
        return (np.concatenate([words, np.where(mask, self.specials.mask, 0)], 1),
                np.concatenate([np.full_like(told, LEFT), told], 1))

    def _hidden(self, caption: Caption, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        ids = self.ids(caption)
        rng = np.random.default_rng([seed, epoch + 1, zlib.crc32(caption.id.encode())])
        count = min(max(round(self.config.mask_rate * len(ids)), 1), self.config.max_masked, len(ids) - 1)
        chosen = np.zeros(len(ids), bool)
        chosen[1 + rng.permutation(len(ids) - 1)[:count]] = True
        shown, targets = mask_words(ids, chosen, self.specials.mask, self.ordinary, rng)
        return shown, targets


def specials_of(pieces: WordPieces) -> Specials:
    """The special pieces' numbers; `HeedError` where a captioner cannot do with them."""
    known = pieces.tokenizer.get_vocab()
    if "[MASK]" not in known or known.get("[PAD]") != 0:
        raise HeedError("A captioner needs a vocabulary with [PAD] as its first piece and with [MASK].")
    return Specials(0, known["[CLS]"], known["[SEP]"], known["[MASK]"])


def masked_loss(scores: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy of what is to be told: scores (told, vocabulary), targets (told,) int64.

    ``smoothing`` is shared out among the pieces that are not true (BertCaptioningLoss of the released code).
    """
    chances = torch.log_softmax(scores.float(), -1)
    true = -chances.gather(1, targets[:, None])[:, 0]
    if not smoothing:
        return true.mean()
    others = smoothing / (scores.shape[1] - 1)
    # As there, the Kullback-Leibler divergence: less the entropy of the smoothed truth, which is a constant.
    kept = 1 - smoothing
    entropy = -kept * np.log(kept) - smoothing * np.log(others)
    return (kept * true + others * (-chances.sum(1) - true)).mean() - entropy
