"""What the causal probes share: pairs as a subject reads them, and inputs with parts taken away.

A word is taken away by [MASK] in its place, a region by hiding its features as masked-region pre-training does: the
models have met both. Lengths, positions and boxes stay, so that nothing but the content changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from evaluation.probes.pairs import Pair, Pairs
from evaluation.probes.reading import encode
from evaluation.probes.study import Study
from evaluation.subjects.batches import make_batch
from evaluation.subjects.subject import JOINT, REGION, WORD, Batch, Edit, Reading, Subject
from evaluation.subjects.trace import image_kinds, text_kinds
from features.devices import resolve_device

MASK_ID = 103
"""[MASK] in BERT's published vocabularies, cased and uncased."""
MOST_WORDS = 128


@dataclass(frozen=True)
class Some:
    """A few pairs and their batch."""

    numbers: np.ndarray
    """(n,) int64: which pairs of the study."""
    pairs: list[Pair]
    batch: Batch
    spans: np.ndarray
    """(n, words, 2) int32: characters of each word piece, -1 for special tokens and padding."""

    @property
    def words(self) -> Tensor:
        """(n, words) bool: words, special tokens left out."""
        return text_kinds(self.batch) == WORD

    @property
    def regions(self) -> Tensor:
        """(n, regions) bool: real regions."""
        return image_kinds(self.batch) == REGION


def chosen_pairs(study: Study, links: bool = False) -> np.ndarray:
    """Numbers of the pairs that a causal probe reads: of the held-out images first, one a image, in their order.

    At most the option ``causal_pairs``; with ``links`` those alone that have linked phrases.
    """
    order = sorted(range(len(study.pairs)), key=lambda i: (study.pairs.pairs[i].split != "test", i))
    seen: set[str] = set()
    found = []
    for number in order:
        pair = study.pairs.pairs[number]
        if pair.key not in seen and (pair.links or not links):
            seen.add(pair.key)
            found.append(number)
    return np.array(sorted(found[: study.options.causal_pairs]), np.int64)


def some(study: Study, numbers: Sequence[int] | np.ndarray, texts: Sequence[str] | None = None) -> Some:
    """Those pairs as a batch on the study's device, with other ``texts`` in place of their captions if given."""
    pairs = [study.pairs.pairs[int(number)] for number in numbers]
    return make_some(study.subject, study.pairs, pairs, np.asarray(numbers), texts, study.device)


def make_some(
    subject: Subject, pairs: Pairs, chosen: list[Pair], numbers: np.ndarray, texts: Sequence[str] | None = None,
    device: str = "cpu",
) -> Some:
    """The same for any pairs."""
    encoded = encode(subject, texts or [pair.caption for pair in chosen], MOST_WORDS)
    batch = make_batch(subject, encoded, [pairs.regions(pair.key) for pair in chosen])
    spans = np.full((*batch.words.shape, 2), -1, np.int32)
    for row, text in zip(spans, encoded, strict=True):
        row[: len(text.spans)] = text.spans
    return Some(numbers, chosen, batch.to(resolve_device(device)), spans)


def batches(study: Study, numbers: np.ndarray) -> Iterator[Some]:
    """The pairs ``numbers``, a batch at a time."""
    for first in range(0, len(numbers), study.batch):
        yield some(study, numbers[first : first + study.batch])


def without(batch: Batch, words: Tensor | None = None, regions: Tensor | None = None) -> Batch:
    """The batch with words (n, words) and regions (n, regions), bool, taken away."""
    found = batch
    if words is not None:
        found = replace(found, words=batch.words.masked_fill(words, MASK_ID))
    if regions is not None:
        found = replace(found, hidden=regions if batch.hidden is None else batch.hidden | regions)
    return found


def repeated(batch: Batch, times: int) -> Batch:
    """Each sample ``times`` times, one behind the other: sample i is rows i * times to (i + 1) * times - 1."""
    return Batch(**{name: None if value is None else value.repeat_interleave(times, 0)
                    for name, value in vars(batch).items()})


def predicts_words(study: Study, one: Some) -> bool:
    """Whether the subject has a head for masked words."""
    states = study.subject.read(one.batch).text
    return states is not None and study.subject.model.word_scores(states[:1, :1]) is not None


def masked_loss(subject: Subject, batch: Batch, masked: Tensor, edit: Edit | None = None) -> Tensor:
    """(n,) mean negative log-likelihood of the masked words (n, words) bool; NaN where a sample has none."""
    reading = subject.read(without(batch, words=masked), edit)
    return word_loss(subject, reading, batch.words, masked)


def word_loss(subject: Subject, reading: Reading, words: Tensor, masked: Tensor) -> Tensor:
    """(n,) mean negative log-likelihood of ``words`` (n, words) at the masked places of what was read."""
    states = reading.text
    assert states is not None
    scores = subject.word_scores(states[:, : words.shape[1]][masked]).log_softmax(-1)
    nats = -scores.gather(1, words[masked][:, None])[:, 0]
    rows = masked.nonzero()[:, 0]
    total = torch.zeros(len(words), dtype=nats.dtype, device=nats.device).index_add(0, rows, nats)
    count = masked.sum(1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


def drawn_words(words: Tensor, share: float, seed: int) -> Tensor:
    """(n, words) bool: of each sample's words this share, at least one, drawn from the seed."""
    draws = torch.from_numpy(np.random.default_rng(seed).random(tuple(words.shape))).to(words.device)
    draws = draws.masked_fill(~words, 2.0)
    count = (words.sum(1).double() * share).ceil().long().clamp(min=1)
    rank = draws.argsort(1).argsort(1)
    return (rank < count[:, None]) & words


def cut_across(words: int, direction: str) -> Edit:
    """Text no longer looks at the image ("text->image"), or the image at the text ("image->text").

    In a softmax that both share, what is left is made to sum to 1 again; a block of its own becomes 0, so that only the
    residual stream passes. ``words`` is the number of text positions.
    """
    def edit(layer: str, block: str, weights: Tensor) -> Tensor:
        if block == direction:
            return torch.zeros_like(weights)
        if block != JOINT:
            return weights
        kept = torch.ones_like(weights[0, 0])
        text, image = slice(0, words), slice(words, None)
        kept[(text, image) if direction == "text->image" else (image, text)] = 0
        left = weights * kept
        return left / left.sum(-1, keepdim=True).clamp(min=torch.finfo(left.dtype).tiny)

    return edit
