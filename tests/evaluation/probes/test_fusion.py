import numpy as np
import pytest

from evaluation.probes import fusion
from evaluation.probes.mutual_information import adjusted, normalised
from evaluation.probes.two_means import two_means
from tests.evaluation.probes.planted import pair, study


def mixture(rng, n, d, apart):
    points = rng.normal(size=(n, d))
    points[: n // 3] += apart
    return points, np.arange(n) < n // 3


def test_two_means_finds_the_clusters_and_sum_that_scikit_learn_finds():
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(0)
    for apart in (0.0, 1.0, 4.0):
        for n in (5, 30, 51):
            points, _ = mixture(rng, n, 7, apart)
            theirs = cluster.KMeans(2, n_init=60, random_state=0).fit(points)
            labels, inertia = two_means(points, starts=400)
            assert inertia == pytest.approx(theirs.inertia_, rel=1e-6)
            assert normalised(labels, theirs.labels_.astype(np.int64)) == pytest.approx(1)


def test_two_means_of_one_point_or_of_equal_points_are_one_cluster():
    assert two_means(np.ones((1, 3)))[0].tolist() == [0]
    assert two_means(np.full((6, 3), 0.1))[0].tolist() == [0] * 6


@pytest.mark.parametrize("by", ["arithmetic", "geometric", "min", "max"])
def test_mutual_information_is_scikit_learn_s(by):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for n in (9, 20, 40):
        for _ in range(20):
            first, second = rng.integers(0, 2, (2, n))
            first[:2] = second[:2] = (0, 1)
            assert normalised(first, second, by) == pytest.approx(
                metrics.normalized_mutual_info_score(first, second, average_method=by), abs=1e-9)
            assert adjusted(first, second, by) == pytest.approx(
                metrics.adjusted_mutual_info_score(first, second, average_method=by), abs=1e-6)


def test_modalities_that_are_apart_score_one_in_every_figure():
    rng = np.random.default_rng(2)
    is_image = np.arange(40) >= 11
    states = 1e-4 * rng.normal(size=(40, 6)) + is_image[:, None]
    assert fusion.measure(states, is_image) == pytest.approx((1, 1, 1, 1), abs=1e-4)


def test_modalities_of_one_distribution_score_chance():
    rng = np.random.default_rng(3)
    is_image = np.arange(60) >= 20
    found = np.mean([fusion.measure(rng.normal(size=(60, 8)), is_image, seed=i) for i in range(60)], 0)
    assert found[0] < 0.04 and abs(found[1]) < 0.02 and abs(found[2]) < 0.01 and abs(found[3] - 0.5) < 0.05


def test_a_wider_split_deceives_k_means_but_not_the_separation():
    """Two objects far apart, in words and regions alike, and the modalities a little apart in another direction."""
    rng = np.random.default_rng(4)
    is_image = np.arange(60) >= 20
    states = 0.1 * rng.normal(size=(60, 2))
    states[:, 0] += 10 * (np.arange(60) % 2)
    states[:, 1] += is_image
    nmi, _, separation, nearest = fusion.measure(states, is_image)
    assert nmi < 0.05 and nearest > 0.95 and separation < 0.05  # the share of variance is small, and is said to be


def test_the_probe_measures_every_layer_and_leaves_special_tokens_out(tmp_path):
    def states(p, side, layer):
        n = len(p.boxes) if side == "image" else 8
        found = np.random.default_rng(int(p.id)).normal(size=(n, 8)) * 0.01
        if layer == 1:
            found += side == "image"
        elif side == "text":
            found[[0, -1]] += 100  # [CLS] and [SEP] far away
        return found

    pairs = [pair(number) for number in range(12)]
    rows = {row["layer"]: row for row in fusion.run(study(tmp_path / "a", pairs, states)).rows}
    assert rows["layer 2"]["nmi"].value == pytest.approx(1)
    assert rows["layer 1"]["adjusted"].value < 0.5
    kept = fusion.run(study(tmp_path / "b", pairs, states, exclude="keep")).rows[0]
    assert kept["nmi"].value != pytest.approx(rows["layer 1"]["nmi"].value)
    assert kept["separation"].n == 12
