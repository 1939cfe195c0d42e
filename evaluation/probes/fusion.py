"""Multimodal fusion degree (VALUE §3.1): do the tokens of a layer fall apart into words and regions?

For each pair, the states of all words and regions of a layer are clustered by k-means with k = 2, and the clusters
compared with the true partition by normalised mutual information: less is more fused. The normaliser, how k-means
begins and whether special tokens take part are options and part of the result.

k-means prefers clusters of like size and the widest direction, so a low NMI may also mean that some other split is
wider. Hence also
- adjusted: 0 is expected of chance, whatever the numbers of words and regions;
- separation: the share of the states' variance that lies between the two modalities, less what chance would give
  (epsilon squared, Kelley 1935): 0 where the modalities have one mean, 1 where each is one point. No clustering in it;
- nearest: how often a token's nearest other token is of its own modality, the mean of both modalities' shares.
"""

from __future__ import annotations

import numpy as np

from evaluation.probes.mutual_information import adjusted, normalised
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study, counted
from evaluation.probes.two_means import two_means

TITLE = "how far words and regions are fused, layer by layer"
VARIANTS = ("subject", "random", "mismatched")
NEEDS = "pairs"
FIGURES = ("nmi", "adjusted", "separation", "nearest")


def run(study: Study) -> Result:
    """One row a layer that has both sides."""
    options = study.options
    layers = [layer for layer in study.cache.layers if layer.text and layer.image]
    notes = []
    apart = [layer.name for layer in layers if layer.text != layer.image]
    if apart:
        notes.append(f"the states of words and regions differ in length in {', '.join(apart)}, so they have no common "
                     "space to be fused in")
    layers = [layer for layer in layers if layer.text == layer.image]
    found = np.full((len(study.pairs), len(layers), len(FIGURES)), np.nan)
    for part, _ in study.parts():
        kinds = np.concatenate([part.text_kinds, part.image_kinds], 1)
        kept = counted(kinds, options.exclude)
        side = np.arange(kinds.shape[1]) >= part.text_kinds.shape[1]
        for place, layer in enumerate(layers):
            states = np.concatenate([part.states(layer.name, "text"), part.states(layer.name, "image")], 1)
            for row, number in enumerate(part.pairs.tolist()):
                is_image = side[kept[row]]
                if 0 < is_image.sum() < len(is_image):
                    found[number, place] = measure(states[row][kept[row]], is_image, options.kmeans_starts,
                                                   options.kmeans_init, options.nmi, number)
    rows: list[Row] = []
    for place, layer in enumerate(layers):
        rows.append({"table": "fusion", "layer": layer.name, **{
            name: study.figure(found[:, place, at], study.image) for at, name in enumerate(FIGURES)}})
    return Result("fusion", study.variant, tuple(rows), {}, tuple(notes), {
        "kmeans_init": options.kmeans_init, "kmeans_starts": options.kmeans_starts, "nmi": options.nmi,
        "exclude": options.exclude})


def measure(states: np.ndarray, is_image: np.ndarray, starts: int = 10, init: str = "k-means++",
            by: str = "arithmetic", seed: int = 0) -> tuple[float, float, float, float]:
    """`FIGURES` of one pair's states (n, d), of which ``is_image`` (n,) bool are regions; both must be there."""
    labels, _ = two_means(states, starts, init, seed)
    truth = is_image.astype(np.int64)
    return (normalised(truth, labels, by), adjusted(truth, labels, by), separation(states, is_image),
            nearest(states, is_image))


def separation(states: np.ndarray, is_image: np.ndarray) -> float:
    """Epsilon squared of the partition: (SSB - MSW) / SST for two groups; 0 where all states are one point."""
    centred = states - states.mean(0, dtype=np.float64)
    total = float((centred**2).sum())
    if total <= 1e-12 * max(1.0, float((states.astype(np.float64)**2).sum())):
        return 0.0
    between = sum(float(group.sum()) * float((centred[group].mean(0)**2).sum()) for group in (is_image, ~is_image))
    if len(states) < 3:
        return between / total
    return (between - (total - between) / (len(states) - 2)) / total


def nearest(states: np.ndarray, is_image: np.ndarray) -> float:
    """Mean over modalities of the share of tokens whose nearest other one is of theirs; ties count by their share."""
    centred = states - states.mean(0, dtype=np.float64)
    gram = centred @ centred.T
    distance = gram.diagonal()[None] - 2 * gram + gram.diagonal()[:, None]
    np.fill_diagonal(distance, np.inf)
    scale = max(float(gram.diagonal().max()), 1e-30)
    closest = distance <= distance.min(1, keepdims=True) + 1e-9 * scale
    np.fill_diagonal(closest, False)
    own = (closest & (is_image[None] == is_image[:, None])).sum(1) / np.maximum(closest.sum(1), 1)
    return float((own[is_image].mean() + own[~is_image].mean()) / 2)
