"""Captions with regions, some of both hidden: what a step of pre-training learns from, and the losses on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.subjects.subject import Batch, Edit
from features.errors import HeedError
from features.text.wordpieces import WordPieces
from pipeline.annotations import Caption
from pipeline.padding import Padded, padding_mask
from training.models.masking import LEFT, choose, exchange, mask_regions, mask_words, overlapping
from training.models.pretraining_config import ObjectivesConfig
from training.models.region_heads import tell_regions

FIELDS = ("features", "boxes", "classes", "width", "height")
"""What is read of a store's row."""
UNKNOWN = -1
"""Class of a region whose class nobody has stored."""


@dataclass(frozen=True)
class Lesson:
    """A batch as the model is shown it, and what it is to tell."""

    shown: Batch
    words: Tensor
    """(batch, words) int64: the true piece where it is to be told, else -1."""
    regions: Tensor
    """(batch, regions) bool: whether its features and class are to be told."""
    features: Tensor
    """(batch, regions, dim) float32, the true ones."""
    classes: Tensor
    """(batch, regions) int64, the true ones; -1 where nobody knows."""
    named: Tensor
    """(batch, regions) bool: whether its class is asked: the regions to be told, or all."""
    matching: Tensor
    """(batch,) bool: whether matching is asked."""
    matched: Tensor
    """(batch,) bool: whether the caption is of the image."""

    def to(self, device: Any) -> Lesson:
        """The same on a device."""
        return Lesson(**{name: value.to(device) for name, value in vars(self).items()})


class Lessons:
    """Draws lessons, each a pure function of its samples and a random generator."""

    def __init__(self, config: ObjectivesConfig, streams: str, pieces: WordPieces, most_words: int) -> None:
        self.config, self.pieces, self.most_words = config, pieces, most_words
        self.all_hidden = streams == "one"
        self.alone = config.masking == "alone" or (config.masking == "auto" and streams == "one")
        known = pieces.tokenizer.get_vocab()
        if "[MASK]" not in known:
            raise HeedError("The vocabulary has no [MASK], which pre-training shows in place of hidden words.")
        self.mask = known["[MASK]"]
        self.ordinary = (self.mask + 1, len(pieces))
        self.names = {number: piece for piece, number in known.items()}
        self._ids: dict[str, np.ndarray] = {}

    def ids(self, caption: Caption) -> np.ndarray:
        """A caption's pieces, cut once."""
        if caption.id not in self._ids:
            self._ids[caption.id] = self.pieces.encode(caption.text, self.most_words).ids
        return self._ids[caption.id]

    def draw(self, captions: Sequence[Caption], regions: Mapping[str, Padded], rng: np.random.Generator) -> Lesson:
        """A lesson on ``captions`` and their images' ``regions``, as the configuration mixes what is asked."""
        n = len(captions)
        asked = self._asked(n, rng)
        whose = exchange([caption.key for caption in captions], self.config.mismatched, rng)
        whose = np.where(asked[0], whose, np.arange(n))
        return self.make([captions[place] for place in whose.tolist()], regions, rng, asked, whose == np.arange(n))

    def make(
        self, captions: Sequence[Caption], regions: Mapping[str, Padded], rng: np.random.Generator,
        asked: np.ndarray, matched: np.ndarray,
    ) -> Lesson:
        """A lesson on these pairs; ``asked`` (3, batch) bool: matching, words, regions of each."""
        rng, for_regions = rng.spawn(2)  # the same regions whatever the captions' lengths are
        words, word_mask = self._padded([self.ids(caption) for caption in captions])
        within = word_mask & (words != words[:, :1])  # [CLS] stays, and so does [SEP]
        within[np.arange(len(words)), word_mask.sum(1) - 1] = False
        chosen = choose(within & asked[1][:, None], self.config.word_rate, rng, self.alone)
        shown, targets = mask_words(words, chosen, self.mask, self.ordinary, rng)
        features, boxes = regions["features"].values.astype(np.float32), regions["boxes"].values
        valid = regions["features"].mask
        told = choose(valid & asked[2][:, None], self.config.region_rate, for_regions, self.alone)
        seen, hidden = mask_regions(features, valid, told, self.all_hidden, for_regions)
        if self.config.overlap < 1:
            hidden = hidden | (overlapping(boxes, told, self.config.overlap) & valid & ~told)
        sizes = np.stack([regions["width"].values, regions["height"].values], 1).astype(np.float32)
        if not self.config.tell_mismatched:  # they are hidden all the same, or what is hidden would tell a match
            targets[~matched], told = LEFT, told & matched[:, None]
        tensor = torch.from_numpy
        batch = Batch(tensor(shown), tensor(word_mask), tensor(seen), tensor(boxes.astype(np.float32)), tensor(sizes),
                      tensor(valid), tensor(hidden))
        return Lesson(batch, tensor(targets), tensor(told), tensor(features),
                      tensor(regions["classes"].values.astype(np.int64)),
                      tensor(valid & ~hidden | told if self.config.tell_shown else told), tensor(asked[0].copy()),
                      tensor(np.asarray(matched)))

    def _asked(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(3, n) bool: whether each sample is asked for matching, words, regions."""
        if not self.alone:
            return np.ones((3, n), bool)
        mix = np.array(self.config.mix)
        if (mix < 0).any() or not mix.sum():
            raise HeedError(f"--objectives.mix {self.config.mix} must be weights, not all 0.")
        return np.arange(3)[:, None] == rng.choice(3, n, p=mix / mix.sum())

    @staticmethod
    def _padded(ids: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.array([len(one) for one in ids])
        mask = padding_mask(lengths, int(lengths.max()))
        words = np.zeros(mask.shape, np.int64)
        words[mask] = np.concatenate(ids)
        return words, mask


def losses(network: nn.Module, lesson: Lesson, streams: str, edit: Edit | None) -> dict[str, Tensor]:
    """words, matching, features, classes: mean losses over what is to be told; 0 where a batch has nothing of it.

    Cross-entropy but for features: squared error, averaged over their length (UNITER's MRFR), or, of two streams, the
    smooth L1 distance (LXMERT).
    """
    reading = network(lesson.shown, edit)
    words, regions = lesson.words != LEFT, lesson.regions
    scores = network.word_scores(reading.text[words])
    asked = regions | lesson.named
    features, classes = tell_regions(network, reading.image[asked])
    features, classes = features[regions[asked]], classes[lesson.named[asked]]
    distance = functional.mse_loss if streams == "one" else functional.smooth_l1_loss
    true = lesson.classes[lesson.named]
    known = true != UNKNOWN
    return {
        "words": _mean(functional.cross_entropy(scores.float(), lesson.words[words], reduction="none")),
        "matching": _mean(functional.binary_cross_entropy_with_logits(
            reading.match.float(), lesson.matched.float(), reduction="none")[lesson.matching]),
        "features": _mean(distance(features.float(), lesson.features[regions], reduction="none").flatten(1).mean(1)),
        "classes": _mean(functional.cross_entropy(classes.float()[known], true[known], reduction="none")),
    }


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(1, len(values))
