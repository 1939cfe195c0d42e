"""Generated pictures, judged by features: Fréchet inception distance, inception score, R-precision.

All three work on numbers that a network gave for the pictures; which network it was decides what they mean, so heed
names it beside each figure and computes none where its weights are not there.
"""

from __future__ import annotations

import numpy as np

from features.errors import HeedError


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """FID (Heusel et al. 2017): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features (pictures, d).

    Covariances are the unbiased ones. The root's trace is the sum of the square roots of the eigenvalues of C1 C2,
    found from the symmetric C1^(1/2) C2 C1^(1/2), whose eigenvalues are the same and real: with fewer pictures than
    dimensions a general root is unstable. Raises `HeedError` for fewer than two pictures, or numbers that are not
    finite.
    """
    first, second = _features(first), _features(second)
    if first.shape[1] != second.shape[1]:
        raise HeedError(f"FID needs features of one length, not {first.shape[1]} and {second.shape[1]}.")
    means = first.mean(0), second.mean(0)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(covariances[0]))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ np.atleast_2d(covariances[1]) @ root)
    traces = sum(float(np.trace(np.atleast_2d(c))) for c in covariances)
    return float(((means[0] - means[1]) ** 2).sum()) + traces - 2 * float(np.sqrt(np.clip(inner, 0, None)).sum())


def inception_score(probabilities: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """IS (Salimans et al. 2016), mean and standard deviation over ``splits`` parts, in the pictures' order.

    exp of the mean KL divergence of each picture's class probabilities (pictures, classes) from their part's mean. Give
    the pictures shuffled: parts of one class each have a score of 1. Raises `HeedError` where rows do not sum to 1 or
    there are fewer pictures than parts.
    """
    if probabilities.ndim != 2 or len(probabilities) < splits:
        raise HeedError(f"The inception score in {splits} parts needs at least as many pictures, (pictures, classes), "
                        f"not {probabilities.shape}.")
    p = probabilities.astype(np.float64)
    if not np.allclose(p.sum(1), 1, atol=1e-3) or (p < 0).any():
        raise HeedError("The inception score needs probabilities: rows of numbers from 0 that sum to 1.")
    scores = []
    for part in np.array_split(p, splits):
        marginal = part.mean(0)
        ratio = np.divide(part, marginal, out=np.ones_like(part), where=part > 0)
        scores.append(np.exp((part * np.log(ratio)).sum(1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def r_precision(similarity: np.ndarray) -> np.ndarray:
    """Whether each picture's own caption is nearest (AttnGAN, Xu et al. 2018): (pictures,) bool.

    ``similarity`` (pictures, candidates): cosine of the picture with its own caption (column 0) and with others, 99 as
    published. A candidate as near as one's own counts as nearer.
    """
    if similarity.ndim != 2 or similarity.shape[1] < 2 or not np.isfinite(similarity).all():
        raise HeedError("R-precision needs finite similarities of each picture with its own and with other captions, "
                        f"not {similarity.shape}.")
    return similarity[:, 0] > similarity[:, 1:].max(1)


def _features(features: np.ndarray) -> np.ndarray:
    if features.ndim != 2 or len(features) < 2:
        raise HeedError(f"FID needs features (pictures, d) of at least two pictures, not {features.shape}.")
    if not np.isfinite(features).all():
        raise HeedError("FID cannot be computed: features hold NaN or infinite numbers.")
    return features.astype(np.float64)
