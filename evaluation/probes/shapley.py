"""How much of matching is the text's and how much the image's: Shapley values of words and regions, by sampling.

MM-SHAP (Parcalabescu and Frank 2023): a token's Shapley value phi is its mean effect on the probability that image and
text belong together, over all orders in which tokens can be put into an input without any; the text's share is the sum
of |phi| over words by the sum over words and regions. It says how much a side is used, whether the answer is right or
not, where attention masses say how much it is looked at. Special tokens always stay, tokens are taken away as in
`evaluation.probes.intervening`.

Orders are sampled, each with its reverse (antithetic pairs halve the noise). For every order the values sum to the
probability of the whole input less that of the empty one, exactly. |phi| is biased upwards by sampling noise, on both
sides alike: the share drifts towards uniform, the number of words by the number of tokens, which stands beside it.
"""

from __future__ import annotations

import numpy as np
import torch

from evaluation.probes.intervening import Some, chosen_pairs, repeated, some, without
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study

TITLE = "what share of matching is the text's, by Shapley values"
VARIANTS = ("subject", "random", "mismatched")
NEEDS = "pairs"
AT_ONCE = 128
"""Inputs read at once."""


def run(study: Study) -> Result:
    """One row: the text's share, what uniform would be, and the mean |phi| of a word and of a region."""
    numbers = chosen_pairs(study)[: study.options.shapley_pairs]
    orders = study.options.shapley_orders
    if study.subject.read(some(study, numbers[:1]).batch).match is None:
        return Result("shapley", study.variant, notes=("the subject has no matching head to explain",))
    found = np.full((4, len(numbers)), np.nan)
    with study.progress(len(numbers), "pairs") as progress:
        for place, number in enumerate(numbers.tolist()):
            values, words = shapley(study, some(study, [number]), orders, [study.seed, number])
            size = np.abs(values)
            text, image = size[words].sum(), size[~words].sum()
            found[:, place] = (text / (text + image) if text + image > 0 else np.nan, words.mean(),
                               size[words].mean(), size[~words].mean())
            progress.update(place + 1)
    image_of = study.image[numbers]
    share, uniform, word, region = (study.figure(values, image_of) for values in found)
    row: Row = {"table": "Shapley values", "text share": share, "share of tokens that are words": uniform,
           "over that": study.figure(found[0] - found[1], image_of), "of a word": word, "of a region": region}
    return Result("shapley", study.variant, (row,), {}, (), {"pairs": len(numbers), "orders": 2 * orders})


def shapley(study: Study, one: Some, orders: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values (tokens,) float64 of a single pair's words, then its regions; and which of them are words."""
    words = np.flatnonzero(one.words[0].cpu().numpy())
    regions = np.flatnonzero(one.regions[0].cpu().numpy())
    tokens = len(words) + len(regions)
    rng = np.random.default_rng(seed)
    total = np.zeros(tokens)
    for _ in range(orders):
        order = rng.permutation(tokens)
        for each in (order, order[::-1]):
            place = np.empty(tokens, np.int64)
            place[each] = np.arange(tokens)
            present = place[None] < np.arange(tokens + 1)[:, None]  # (tokens + 1, tokens)
            chances = _chances(study, one, words, regions, present)
            total[each] += np.diff(chances)
    return total / (2 * orders), np.arange(tokens) < len(words)


def _chances(study: Study, one: Some, words: np.ndarray, regions: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Probability of a match for each row of ``present`` (inputs, tokens) bool."""
    out = np.empty(len(present))
    for first in range(0, len(present), AT_ONCE):
        here = torch.from_numpy(~present[first : first + AT_ONCE])
        batch = repeated(one.batch, len(here))
        no_words = torch.zeros(batch.words.shape, dtype=torch.bool)
        no_regions = torch.zeros(batch.region_mask.shape, dtype=torch.bool)
        no_words[:, words] = here[:, : len(words)]
        no_regions[:, regions] = here[:, len(words) :]
        match = study.subject.read(without(batch, no_words.to(batch.words.device),
                                           no_regions.to(batch.words.device))).match
        assert match is not None
        out[first : first + len(here)] = match.double().sigmoid().cpu().numpy()
    return out
