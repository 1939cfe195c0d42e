import math

import numpy as np
import pytest

from evaluation.bootstrap import Figure, figure, mean, median, resample


def test_value_is_the_plain_mean_and_median_over_all_items():
    rng = np.random.default_rng(1)
    image, values = rng.integers(0, 9, 40), rng.normal(size=40)
    weights = resample(9, 20)
    assert mean(weights, values, image)[0] == pytest.approx(values.mean())
    assert median(weights, values, image)[0] == pytest.approx(np.median(values))


def test_resamples_equal_a_loop_that_repeats_each_drawn_images_items():
    rng = np.random.default_rng(2)
    image, values = rng.integers(0, 6, 31), rng.integers(0, 12, 31).astype(float)
    weights = resample(6, 150, seed=3)
    means, medians = mean(weights, values, image), median(weights, values, image)
    for row, counts in enumerate(weights):
        drawn = np.concatenate([np.tile(values[image == i], int(n)) for i, n in enumerate(counts)])
        assert means[row] == pytest.approx(drawn.mean())
        assert medians[row] == np.median(drawn)


def test_interval_of_a_proportion_agrees_with_the_normal_approximation():
    hits = np.repeat([1.0, 0.0], [300, 700])
    found = figure(mean(resample(1000, 4000), hits, np.arange(1000)), 1000, 1000)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert found.low == pytest.approx(0.3 - half, abs=0.003)
    assert found.high == pytest.approx(0.3 + half, abs=0.003)


def test_items_of_one_image_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    of_image = rng.random(100)
    weights = resample(100)
    once = figure(mean(weights, of_image, np.arange(100)), 100, 100)
    five_times = figure(mean(weights, np.repeat(of_image, 5), np.repeat(np.arange(100), 5)), 500, 100)
    assert (once.low, once.high) == pytest.approx((five_times.low, five_times.high))


def test_without_resamples_there_is_a_value_and_no_interval():
    found = figure(mean(resample(4, 0), np.array([1.0, 0, 0, 1]), np.arange(4)), 4, 4)
    assert found.value == 0.5 and math.isnan(found.low)


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(0).random(50)
    ends = [figure(mean(resample(50, 200, seed), values, np.arange(50)), 50, 50) for seed in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]


def test_one_image_has_no_interval():
    found = figure(mean(resample(1), np.array([1.0, 0.0]), np.array([0, 0])), 2, 1)
    assert found.value == 0.5 and math.isnan(found.low) and math.isnan(found.high)
    assert found.to_json() == {"value": 0.5, "low": None, "high": None, "n": 2}
    assert str(found) == "0.50"


def test_figures_survive_json():
    kept = Figure(41.25, 30.0, 50.5, 7)
    assert Figure.from_json(kept.to_json()) == kept
    assert str(kept) == "41.2 [30.0, 50.5]"
    assert math.isnan(Figure.from_json(Figure(math.nan, math.nan, math.nan, 0).to_json()).value)
