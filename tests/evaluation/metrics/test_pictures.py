"""FID and inception score against closed forms, a general matrix root, and torchmetrics' formulas."""

import numpy as np
import pytest
import scipy.linalg

from evaluation.metrics.pictures import frechet_distance, inception_score, r_precision
from features.errors import HeedError


def test_fid_of_shifted_and_scaled_features_is_the_closed_form():
    x = np.random.default_rng(0).normal(size=(500, 6))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2) == pytest.approx(6 * 4)
    assert frechet_distance(x, 3 * x) == pytest.approx(4 * (x.mean(0) ** 2).sum() + 4 * np.trace(np.cov(x.T)))


@pytest.mark.parametrize(("pictures", "dim"), [(200, 16), (12, 40)])
def test_fid_is_that_of_a_general_matrix_root(pictures, dim):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(pictures, dim)), rng.gamma(2, size=(pictures, dim)) @ rng.normal(size=(dim, dim))
    ca, cb = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm((ca @ cb).astype(complex)) if pictures > dim else None
    trace = np.trace(root).real if root is not None else np.sqrt(np.linalg.eigvals(ca @ cb).astype(complex)).sum().real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * trace
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_fid_and_inception_score_are_torchmetrics_formulas():
    fid = pytest.importorskip("torchmetrics.image.fid", reason="torchmetrics is not installed")
    import torch

    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(300, 24)), rng.normal(1, 2, size=(200, 24))
    moments = [torch.from_numpy(m) for x in (a, b) for m in (x.mean(0), np.cov(x.T))]
    assert frechet_distance(a, b) == pytest.approx(float(fid._compute_fid(*moments)), abs=1e-4)
    p = rng.dirichlet(np.full(7, 0.3), size=100)
    log, parts = torch.from_numpy(p).log(), []
    for part, logs in zip(torch.from_numpy(p).chunk(10), log.chunk(10), strict=True):
        parts.append((part * (logs - part.mean(0, keepdim=True).log())).sum(1).mean().exp())
    mean, deviation = inception_score(p)
    assert mean == pytest.approx(float(torch.stack(parts).mean()), abs=1e-9)
    assert deviation == pytest.approx(float(torch.stack(parts).std(unbiased=False)), abs=1e-9)


def test_the_inception_score_counts_classes_told_surely_and_evenly():
    sure = np.eye(5)[np.arange(100) % 5]
    assert inception_score(sure, 2) == pytest.approx((5, 0))
    assert inception_score(np.full((20, 4), 0.25)) == pytest.approx((1, 0))


def test_r_precision_needs_ones_own_caption_strictly_nearest():
    assert r_precision(np.array([[3, 1, 2], [2, 2, 1], [0, 1, 2.0]])).tolist() == [True, False, False]


@pytest.mark.parametrize("call", [
    lambda: frechet_distance(np.zeros((1, 3)), np.zeros((4, 3))), lambda: inception_score(np.full((20, 2), 0.7)),
    lambda: frechet_distance(np.full((3, 2), np.nan), np.zeros((4, 2))), lambda: inception_score(np.eye(3)),
    lambda: r_precision(np.zeros((3, 1))), lambda: frechet_distance(np.zeros((3, 2)), np.zeros((3, 4))),
])  # fmt: skip
def test_what_cannot_be_judged_is_told(call):
    with pytest.raises(HeedError):
        call()
