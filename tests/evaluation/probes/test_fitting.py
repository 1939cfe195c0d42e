import numpy as np
import pytest

from evaluation.probes import fitting
from evaluation.probes.fitting import Rows, fit, moments


def data(classes, n=300, d=12, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) * rng.uniform(0.01, 30, d) + rng.normal(size=d) * 5).astype(np.float32)
    z = (x - x.mean(0)) / x.std(0)
    return x, (z @ rng.normal(size=(d, classes)) + rng.gumbel(size=(n, classes))).argmax(1)


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_those_of_scikit_learn_s_logistic_regression(classes, monkeypatch):
    linear = pytest.importorskip("sklearn.linear_model")
    monkeypatch.setattr(fitting, "ROWS", 37)
    x, y = data(classes)
    train, rest = np.arange(200), np.arange(200, 300)
    found = fit(Rows(x, train), y[train], Rows(x, rest), y[rest], classes, (0.02,), 500)
    z = (x - x[train].mean(0)) / x[train].std(0)
    theirs = linear.LogisticRegression(C=1 / (0.02 * 200), max_iter=5000, tol=1e-8).fit(z[train], y[train])
    scores = found.scores(Rows(x, rest))
    mine = np.exp(scores - scores.max(1, keepdims=True))
    assert mine / mine.sum(1, keepdims=True) == pytest.approx(theirs.predict_proba(z[rest]), abs=2e-3)


def test_pieces_from_the_disk_give_the_same_weights(tmp_path, monkeypatch):
    x, y = data(3)
    np.save(tmp_path / "x.npy", x)
    whole = fit(Rows(x, np.arange(200)), y[:200], Rows(x, np.arange(200, 300)), y[200:], 3)
    monkeypatch.setattr(fitting, "ROWS", 64)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    pieces = fit(Rows(mapped, np.arange(200)), y[:200], Rows(mapped, np.arange(200, 300)), y[200:], 3)
    assert pieces.penalty == whole.penalty
    assert pieces.weights == pytest.approx(whole.weights, rel=0.05, abs=0.02)


def test_moments_are_of_the_given_rows_and_a_constant_column_stays():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    x[:, 2] = 7
    mean, deviation = moments(Rows(x, np.array([0, 2])))
    assert mean.tolist() == [3, 4, 7] and deviation.tolist() == [3, 3, 1]


def test_noise_is_answered_by_the_strongest_penalty_and_signal_by_a_weaker_one():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(600, 40)).astype(np.float32), rng.integers(0, 2, 600)
    x[:, 0] += 0.2 * y
    part = [np.arange(i, i + 200) for i in (0, 200, 400)]
    found = fit(Rows(x, part[0]), y[part[0]], Rows(x, part[1]), y[part[1]], 2, (1.0, 0.0001), 200)
    assert found.penalty == 1.0
    sharp, z = data(4)
    assert fit(Rows(sharp, np.arange(200)), z[:200], Rows(sharp, np.arange(200, 300)), z[200:], 4).penalty < 1
