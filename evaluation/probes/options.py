"""What the probes let one choose, where the paper leaves a choice open or later work criticised it. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Special = Literal["keep", "cls", "sep", "both"]
Pooling = Literal["mean", "max", "first"]


@dataclass(frozen=True)
class ProbeOptions:
    """Options of the probes; each result repeats those that it was made with."""

    # Draws of negatives and of images' noise; figures are means over them.
    seeds: int = 3
    # Of these draws, how many are repeated with shuffled labels.
    shuffled_seeds: int = 1
    # Resamples of the bootstrap by image.
    resamples: int = 1000
    # Which special tokens count as neither text nor image: none, [CLS], [SEP] or both.
    exclude: Special = "both"
    # How a phrase's word pieces become one: their mean, largest value, or the first of them.
    pooling: Pooling = "mean"
    # How k-means begins: k-means++ or two of the tokens at random, so many times, the tightest of which is kept.
    kmeans_init: Literal["k-means++", "random"] = "k-means++"
    kmeans_starts: int = 10
    # What the mutual information is divided by: the mean of the two entropies, or another of them.
    nmi: Literal["arithmetic", "geometric", "min", "max"] = "arithmetic"
    # Attention on the other side from which a token counts as looking across.
    majority: float = 0.5
    # Regions that no phrase of the pair names, or any other annotated ones, as coreference's negatives.
    negatives: Literal["annotated", "any"] = "annotated"
    # How the states of two tokens become one vector: side by side, or their product beside them.
    combine: Literal["concat", "product"] = "product"
    # Most frequent predicates that are told apart. The paper has 32 in one place and 1/30 in another.
    predicates: int = 32
    # Most relations taken of an image, so that crowded ones do not rule.
    relations_each: int = 8
    # Most examples of a linear probe, drawn by image.
    most_examples: int = 20_000
    # Most sentences of a linguistic task, over its three splits together; SentEval's have 120,000.
    most_sentences: int = 20_000
    # How a sentence's states become one: mean over its words, or [CLS].
    sentence: Literal["mean", "cls"] = "mean"
    # What stands for the image beside a sentence: nothing, or blank regions (all zeros, the whole image).
    blank_regions: int = 0
    # Strengths of the linear probes' penalty, of which validation chooses.
    penalties: tuple[float, ...] = (1.0, 0.1, 0.01)
    # Steps of L-BFGS for each.
    iterations: int = 25
    # Pairs that the causal probes read, of held-out images first; each is read once a head.
    causal_pairs: int = 64
    # Steps in which explanations' tokens are taken away or put back.
    steps: int = 10
    # Pairs whose Shapley values are sampled, and orders of each; every order is taken backwards too.
    shapley_pairs: int = 32
    shapley_orders: int = 4
