"""BLEU, ROUGE-L and CIDEr of captions cut into words, each with what a bootstrap over images needs.

As in coco-caption (`pycocoevalcap`), whose results these are to the last digits: a caption is compared with all the
references of its image. Words come from `evaluation.metrics.penn_words`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Words = Sequence[str]
_Vector = tuple[dict[tuple[str, ...], float], list[float], int]
"""tf-idf of each n-gram, norms for n = 1 … 4, and the number of pairs of words."""
ORDERS = 4
"""n-grams of 1 to 4 words."""
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0
_TINY, _SMALL = 1e-15, 1e-9


def ngrams(words: Words) -> Counter[tuple[str, ...]]:
    """How often each n-gram of 1 to 4 words occurs."""
    return Counter(tuple(words[i:i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


def bleu_counts(caption: Words, references: Sequence[Words]) -> np.ndarray:
    """(10,) int64: for n = 1 … 4 n-grams found in some reference (clipped), then n-grams said, then the two lengths.

    The reference length is the nearest to the caption's; of two as near, the shorter.
    """
    said = ngrams(caption)
    most: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        most |= ngrams(reference)
    found = [0] * ORDERS
    for ngram, count in said.items():
        found[len(ngram) - 1] += min(count, most[ngram])
    length = len(caption)
    nearest = min((abs(len(reference) - length), len(reference)) for reference in references)[1]
    return np.array([*found, *(max(0, length - n) for n in range(ORDERS)), length, nearest], np.int64)


def bleu(counts: np.ndarray) -> np.ndarray:
    """BLEU-1 … 4 of summed counts (…, 10): (…, 4), in 0 … 1 (Papineni et al. 2002, of a whole corpus)."""
    found, said = counts[..., :ORDERS], counts[..., ORDERS : 2 * ORDERS]
    products = np.cumprod((found + _TINY) / (said + _SMALL), axis=-1)
    scores = products ** (1 / np.arange(1, ORDERS + 1))
    ratio = (counts[..., 8] + _TINY) / (counts[..., 9] + _SMALL)
    brevity = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1.0)
    return scores * brevity[..., None]


def rouge_l(caption: Words, references: Sequence[Words]) -> float:
    """ROUGE-L with beta 1.2 (Lin 2004), precision and recall each the best over the references."""
    common = [_longest_common(caption, reference) for reference in references]
    precision = max(c / max(1, len(caption)) for c in common)
    recall = max(c / max(1, len(reference)) for c, reference in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _longest_common(first: Words, second: Words) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, 1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def cider(captions: Sequence[Words], references: Sequence[Sequence[Words]], plain: bool = False) -> np.ndarray:
    """CIDEr of each caption (images,), 0 … 10: what is reported is their mean.

    This is CIDEr-D (Vedantam et al. 2015, section 6), which coco-caption and every captioning paper call CIDEr: tf-idf
    clipped at the reference's, and a Gaussian penalty on the difference in length, counted in pairs of words as in the
    published code. ``plain`` gives the paper's cosine without both. Document frequencies are over images' references.
    """
    counted = [[ngrams(reference) for reference in group] for group in references]
    rarity = Rarity(counted)
    return np.array([
        _cider_of(rarity.vector(ngrams(caption)), [rarity.vector(counts) for counts in group], plain)
        for caption, group in zip(captions, counted, strict=True)
    ])


def consensus(captions: Sequence[Words], counts: Sequence[int], rarity: Rarity) -> int:
    """Which of some captions of one image is most like the others by CIDEr-D, each of those counted so many times.

    The caption of least expected loss, where they are drawn from a model (minimum Bayes risk; Kumar and Byrne, NAACL
    2004), and the consensus caption of Devlin et al. 2015 (arXiv 1505.04467). Of several as like it is the first.
    """
    vectors = [rarity.vector(ngrams(caption)) for caption in captions]
    known = sorted(set().union(*(weights for weights, _, _ in vectors)), key=len)
    ends = np.searchsorted([len(ngram) for ngram in known], range(1, ORDERS + 2))
    weights = np.array([[weights.get(ngram, 0.0) for ngram in known] for weights, _, _ in vectors])
    norms, pairs = np.array([norm for _, norm, _ in vectors]), np.array([length for _, _, length in vectors])
    scores = np.zeros(len(captions))
    for number, one in enumerate(weights):  # `_cider_of` against all of them at once
        clipped = np.minimum(one, weights) * weights
        products = np.stack([clipped[:, a:b].sum(1) for a, b in pairwise(ends)], 1)
        lengths = norms[number] * norms
        similar = np.divide(products, lengths, out=products, where=lengths > 0).sum(1)
        similar *= np.exp(-((pairs[number] - pairs) ** 2) / (2 * CIDER_SIGMA**2))
        scores[number] = similar @ counts - similar[number]
    return int(np.argmax(scores))


class Rarity:
    """In how many images' references an n-gram is: what CIDEr weighs it by. ``references``: n-grams of each image's."""

    def __init__(self, references: Sequence[Sequence[Counter[tuple[str, ...]]]]) -> None:
        self.frequency = Counter(ngram for group in references for ngram in set().union(*group))
        self.images = math.log(len(references)) if len(references) else 0.0

    def vector(self, counts: Counter[tuple[str, ...]]) -> _Vector:
        """tf-idf of a caption's n-grams, with what is asked of it again and again."""
        weights = {ngram: count * (self.images - math.log(max(1, self.frequency[ngram])))
                   for ngram, count in counts.items()}
        squares = [0.0] * ORDERS
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        pairs = sum(count for ngram, count in counts.items() if len(ngram) == 2)
        return weights, [math.sqrt(square) for square in squares], pairs


def _cider_of(said: _Vector, references: Sequence[_Vector], plain: bool) -> float:
    weights, norm, length = said
    total = 0.0
    for others, other_norm, other_length in references:
        products = [0.0] * ORDERS
        for ngram in weights.keys() & others.keys():
            weight, other = weights[ngram], others[ngram]
            products[len(ngram) - 1] += (weight if plain else min(weight, other)) * other
        similar = sum(p / (a * b) if a and b else p for p, a, b in zip(products, norm, other_norm, strict=True))
        penalty = 1.0 if plain else math.exp(-((length - other_length) ** 2) / (2 * CIDER_SIGMA**2))
        total += similar / ORDERS * penalty
    return 10 * total / len(references)
