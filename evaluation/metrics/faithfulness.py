"""Is what a model attends to what it relies on? Deletion and insertion curves, their areas, and what they beat.

Petsiuk et al. (RISE, BMVC 2018) take away the most important parts of an input one after the other and watch the score
(deletion), or put them into an empty one (insertion): if the order is right, the score falls fast, and rises fast. Here
the parts are the keys of an attention (regions or words), the order is that of their weights, and a step takes or puts
back an equal fraction of a sample's keys. The area under a curve is taken by the trapezoid rule over fractions 0..1.

Scores are scaled by the mean over all samples, so that 1 is the score with every key and 0 the one with none: models
whose scores have different scales can be compared. A small deletion area and a large insertion area are good; what
counts is the distance to random order:

- deletion, insertion: areas for the order of attention;
- random_deletion, random_insertion: mean areas over random orders (between 0 and 1, not always 0.5);
- gradient_deletion, gradient_insertion: areas for the order of gradient x input;
- deletion_gain = random_deletion - deletion, insertion_gain = insertion - random_insertion; positive is faithful;
- gradient_deletion_gain, gradient_insertion_gain: the same of gradient x input.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evaluation.bootstrap import RESAMPLES, Figure, figure, mean, resample

ORDERS = ("attention", "random", "gradient")
PREFIX = {"attention": "", "random": "random_", "gradient": "gradient_"}


def ranks(weights: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rank of every key in its sample, 0 for the largest weight: (samples, longest) int64.

    ``weights`` (samples, longest), of which the first ``counts[i]`` of row i are real; the others rank behind them.
    Equal weights are ordered at random: in the order of the file they would favour a detector's surest regions.
    """
    real = np.arange(weights.shape[1]) < counts[:, None]
    keys = np.where(real, weights, -np.inf)
    order = np.lexsort((rng.random(weights.shape), -keys), axis=1)
    out = np.empty_like(order)
    np.put_along_axis(out, order, np.broadcast_to(np.arange(weights.shape[1]), order.shape), axis=1)
    return out


def steps_taken(counts: np.ndarray, steps: int) -> np.ndarray:
    """How many of a sample's keys each step has reached: (steps + 1, samples) int64, from 0 to all of them.

    Step s reaches round(s / steps * count), halves rounded up.
    """
    fractions = np.arange(steps + 1)[:, None] / steps
    return np.floor(fractions * counts[None] + 0.5).astype(np.int64)


def area(curve: np.ndarray) -> np.ndarray:
    """Area under a curve whose last axis runs over equal steps from fraction 0 to 1, by the trapezoid rule."""
    return (curve[..., 1:] + curve[..., :-1]).mean(-1) / 2


def faithfulness(
    deletion: Mapping[str, np.ndarray], insertion: Mapping[str, np.ndarray], image: np.ndarray,
    resamples: int = RESAMPLES, seed: int = 0,
) -> tuple[dict[str, Figure], dict[str, list[float]]]:
    """Figures, each with a bootstrap interval by image, and the scaled mean curves.

    ``deletion`` and ``insertion``: one of `ORDERS` -> scores (samples, steps + 1) as ever more keys are taken away, or
    put in. The first of a deletion is the score with every key, its last the score with none; an insertion's the other
    way round. ``image`` (samples,) says which samples are alike. NaN where all keys score no more than none.
    """
    _, cluster = np.unique(image, return_inverse=True)
    clusters = int(cluster.max(initial=-1)) + 1
    weights = resample(clusters, resamples, seed)
    full = mean(weights, deletion["attention"][:, 0], cluster)
    empty = mean(weights, deletion["attention"][:, -1], cluster)
    span = np.where(full > empty, full - empty, np.nan)
    areas, curves = {}, {}
    for order in deletion:
        for kind, scores in (("deletion", deletion[order]), ("insertion", insertion[order])):
            name = PREFIX[order] + kind
            areas[name] = (mean(weights, area(scores), cluster) - empty) / span
            curves[name] = ((scores.mean(0) - empty[0]) / span[0]).tolist()
    for order in ("attention", "gradient"):
        if order in deletion and "random" in deletion:
            before = PREFIX[order]
            areas[f"{before}deletion_gain"] = areas["random_deletion"] - areas[f"{before}deletion"]
            areas[f"{before}insertion_gain"] = areas[f"{before}insertion"] - areas["random_insertion"]
    return {name: figure(samples, len(image), clusters) for name, samples in areas.items()}, curves
