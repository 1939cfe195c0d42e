"""BERTScore (Zhang et al., ICLR 2020): how alike two sentences are, piece by piece, in the states of a BERT.

    scorer = BertScore.load(Path("roberta-large"))
    scorer.f1_matrix(["a dog runs"], ["a dog is running", "a cat sleeps"])        # (1, 2)

Each piece of the candidate is matched with the nearest piece of the reference, by the cosine of their states in one
layer: the mean of those cosines is precision, with the parts exchanged recall, and F1 their harmonic mean. [CLS] and
[SEP] count in no mean, but a piece may be matched with them, as in the published package (bert-score 0.3.13), whose
figures these are; without inverse document frequencies, its default. It lets a piece be matched with padding, too, at
a cosine of 0, so that a score depends on the batch where all cosines are negative; here padding is never matched.
``baseline`` is a table of the package (LAYER,P,R,F): scores b of unrelated sentences, with which F1 becomes
(F1 - b) / (1 - b). Nothing heavy is imported before `load`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import HeedError

LAYERS = {
    "bert-base-uncased": 9, "bert-large-uncased": 18, "bert-base-cased-finetuned-mrpc": 9,
    "bert-base-multilingual-cased": 9, "bert-base-chinese": 8, "roberta-base": 10, "roberta-large": 17,
    "roberta-large-mnli": 19, "distilroberta-base": 5, "distilbert-base-uncased": 5, "xlm-roberta-base": 9,
    "xlm-roberta-large": 17,
}
"""Model -> the layer that agrees best with people, the package's choice (its model2layers)."""
AT_ONCE = 64
"""Sentences embedded, and candidates compared, at once."""


@dataclass(frozen=True)
class Embedded:
    """Sentences in pieces, behind each other."""

    states: np.ndarray
    """(pieces, d) float32 of unit length, special pieces among them."""
    counted: np.ndarray
    """(pieces,) float64: 1 / the sentence's number of words' pieces, 0 for a special piece."""
    starts: np.ndarray
    """(sentences,) int64: each one's first piece."""


@dataclass(frozen=True)
class BertScore:
    """A loaded model, at one layer."""

    embed: Callable[[Sequence[str]], list[tuple[np.ndarray, np.ndarray]]]
    """Sentences to, of each, states (pieces, d) float32 and whether a piece is a special one (pieces,) bool."""
    baseline: float = 0.0
    """F1 of unrelated sentences; 0 does not rescale."""
    layer: int = 0
    """Where the states are from."""

    @classmethod
    def load(
        cls, model: str | Path, layer: int = 0, baseline: Path | None = None, device: str = "cpu",
    ) -> BertScore:
        """A BERT or RoBERTa in Hugging Face's layout: its folder, or a name that is in the Hub's cache or online.

        ``layer`` 0 takes the package's choice for the folder's name. Raises `HeedError` where transformers, the weights
        or the table are not to be had, or no layer is known.
        """
        from features.text.layer_states import layer_states

        name = Path(model).name
        layer = layer or LAYERS.get(name, 0)
        if not layer:
            raise HeedError(f"BERTScore does not know which layer of {name!r} to take: name one (--bertscore-layer).")
        embed = layer_states(str(model), layer, device)
        return cls(embed, 0.0 if baseline is None else read_baseline(baseline, layer), layer)

    def f1_matrix(self, candidates: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """F1 (rescaled) of every candidate with every reference: (candidates, references) float64."""
        known = self._known([*candidates, *references])
        others = _joined([known[text] for text in references])
        rows = []
        for first in range(0, len(candidates), AT_ONCE):
            rows.append(_f1(_joined([known[text] for text in candidates[first:first + AT_ONCE]]), others))
        return self._rescaled(np.concatenate(rows))

    def best(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """F1 (rescaled) of each candidate with the best of its references: (candidates,) float64."""
        known = self._known([*candidates, *(text for group in references for text in group)])
        scores = [_f1(_joined([known[text]]), _joined([known[other] for other in group])).max()
                  for text, group in zip(candidates, references, strict=True)]
        return self._rescaled(np.array(scores))

    def _rescaled(self, scores: np.ndarray) -> np.ndarray:
        return (scores - self.baseline) / (1 - self.baseline)

    def _known(self, texts: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Each distinct sentence's unit states and whether its pieces are special."""
        # Longest first, so that sentences of like length share a batch.
        distinct = sorted(dict.fromkeys(texts), key=lambda text: -len(text.split()))
        return dict(zip(distinct, self._embedded(distinct), strict=True))

    def _embedded(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, len(texts), AT_ONCE):
            for states, special in self.embed(texts[first:first + AT_ONCE]):
                yield states / np.linalg.norm(states, axis=1, keepdims=True), special


def read_baseline(path: Path, layer: int) -> float:
    """The F1 of unrelated sentences at a layer; `HeedError` where the table has none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = {int(row["LAYER"]): float(row["F"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{path} is no table of BERTScore's baselines (LAYER,P,R,F): {error!r}.") from None
    if layer not in found:
        raise HeedError(f"{path} has no baseline of layer {layer}; it has {', '.join(map(str, found)) or 'none'}.")
    return found[layer]


def _joined(sentences: Sequence[tuple[np.ndarray, np.ndarray]]) -> Embedded:
    lengths = [len(special) for _, special in sentences]
    counted = [(~special) / max(1, (~special).sum()) for _, special in sentences]
    return Embedded(np.concatenate([states for states, _ in sentences]), np.concatenate(counted),
                    np.concatenate([[0], np.cumsum(lengths[:-1])]).astype(np.int64))


def _f1(said: Embedded, true: Embedded) -> np.ndarray:
    """(candidates, references) float64; 0 where either has no words."""
    cosines = (said.states @ true.states.T).astype(np.float64)
    nearest = np.maximum.reduceat(cosines, true.starts, 1)
    precision = np.add.reduceat(nearest * said.counted[:, None], said.starts, 0)
    nearest = np.maximum.reduceat(cosines, said.starts, 0)
    recall = np.add.reduceat(nearest * true.counted, true.starts, 1)
    words = np.logical_and.outer(np.add.reduceat(said.counted, said.starts) > 0,
                                 np.add.reduceat(true.counted, true.starts) > 0)
    total = np.where(words & (precision + recall != 0), precision + recall, 1)
    return np.where(words, 2 * precision * recall / total, 0.0)

