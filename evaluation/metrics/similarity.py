"""How alike two sentences are, without any downloaded weights: what R@k/N can be computed with.

AutoAD-II takes BERTScore's F1 (`evaluation.metrics.bertscore`). ``word-f1`` is what that becomes where two words are
alike only if they are the same: precision and recall of the words, and their harmonic mean. ``rouge-l`` is ROUGE-L, for
which the words' order counts, and ``cider`` CIDEr with the references' own document frequencies, for which rare words
count more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from evaluation.metrics import ngrams

Words = Sequence[str]


def word_f1(said: Sequence[Words], references: Sequence[Words]) -> np.ndarray:
    """F1 of the words, each as often as it occurs: (said, references) in 0 … 1."""
    counted = [[Counter(words) for words in group] for group in (said, references)]
    return np.array([[_f1(one, other) for other in counted[1]] for one in counted[0]]).reshape(
        len(said), len(references))


def _f1(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


def rouge_l(said: Sequence[Words], references: Sequence[Words]) -> np.ndarray:
    """ROUGE-L of every pair: (said, references) in 0 … 1."""
    return np.array([[ngrams.rouge_l(one, [other]) for other in references] for one in said]).reshape(
        len(said), len(references))


def cider(said: Sequence[Words], references: Sequence[Words]) -> np.ndarray:
    """CIDEr of every pair: (said, references) in 0 … 10; how rare an n-gram is follows from the references."""
    groups = [[reference] for reference in references]
    rows = [ngrams.cider([one] * len(references), groups) for one in said]
    return np.stack(rows) if rows else np.zeros((0, len(references)))


SIMILARITIES: dict[str, Callable[[Sequence[Words], Sequence[Words]], np.ndarray]] = {
    "word-f1": word_f1, "rouge-l": rouge_l, "cider": cider,
}
"""Name on the command line -> similarities of sentences in words (`evaluation.metrics.penn_words`)."""
