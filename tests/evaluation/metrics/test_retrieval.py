import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.retrieval import chance, ranks, retrieval
from features.errors import HeedError


def naive_ranks(scores, own):
    """SCAN's evaluation, as a loop over argsort; right only where no two scores are the same."""
    i2t, t2i = [], []
    for image, row in enumerate(scores):
        order = list(np.argsort(row)[::-1])
        mine = [c for c in range(len(own)) if own[c] == image]
        i2t.append(min((order.index(c) for c in mine), default=-1))
    for caption, image in enumerate(own):
        t2i.append(list(np.argsort(scores[:, caption])[::-1]).index(image))
    return np.array(i2t), np.array(t2i)


def naive_figures(i2t, t2i):
    out = {}
    for name, rank in (("i2t", i2t[i2t >= 0]), ("t2i", t2i)):
        for k in (1, 5, 10):
            out[f"{name}_r{k}"] = 100.0 * len(np.where(rank < k)[0]) / len(rank)
        out[f"{name}_median"] = np.floor(np.median(rank)) + 1
        out[f"{name}_mean"] = rank.mean() + 1
    out["rsum"] = sum(value for name, value in out.items() if "_r" in name)
    return out


def random_case(images, captions, seed):
    rng = np.random.default_rng(seed)
    own = rng.integers(0, images, captions)
    scores = rng.permutation(images * captions).reshape(images, captions).astype(np.float32)
    scores[own, np.arange(captions)] += 0.3 * images * captions  # right answers tend to the front
    return scores + rng.random(scores.shape).astype(np.float32) / 8, own


@pytest.mark.parametrize(("images", "captions"), [(1, 1), (5, 5), (20, 100), (17, 61), (60, 15)])
def test_equals_a_loop_over_argsort_for_any_number_of_captions_an_image(images, captions):
    scores, own = random_case(images, captions, images)
    expected = naive_ranks(scores, own)
    for found, loop in zip(ranks(scores, own, chunk=7), expected, strict=True):
        np.testing.assert_array_equal(found, loop)
    figures = {name: figure.value for name, figure in retrieval(scores, own, resamples=10).items()}
    assert figures == pytest.approx(naive_figures(*expected))


def test_a_case_by_hand():
    #                  image 0's captions: 0, 1; image 1's: 2; image 2 has none
    scores = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.3], [0.7, 0.1, 0.4]])
    own = np.array([0, 0, 1])
    i2t, t2i = ranks(scores, own)
    assert i2t.tolist() == [0, 1, -1]  # image 0 finds its caption 1 first; image 1 ranks caption 0 before its own
    assert t2i.tolist() == [2, 0, 2]
    found = retrieval(scores, own)
    assert found["i2t_r1"].value == 50 and found["i2t_r5"].value == 100 and found["i2t_r1"].n == 2
    assert found["t2i_r1"].value == pytest.approx(100 / 3) and found["t2i_r1"].n == 3
    assert found["t2i_median"].value == 3 and found["t2i_mean"].value == pytest.approx(7 / 3)
    assert found["i2t_median"].value == 1  # floor(0.5) + 1, as published code has it


def test_scores_that_are_all_the_same_find_nothing():
    found = retrieval(np.zeros((20, 100)), np.arange(100) // 5)
    assert found["rsum"].value == 0
    assert found["t2i_median"].value == 20
    assert found["i2t_median"].value == 96  # all 95 wrong captions stand before the own five


def test_a_tie_among_an_images_own_captions_is_no_mistake():
    scores = np.zeros((2, 4))
    scores[0, :2] = scores[1, 2:] = 1
    assert ranks(scores, np.array([0, 0, 1, 1]))[0].tolist() == [0, 0]


@given(st.integers(0, 10_000))
def test_order_of_images_and_captions_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    images, captions = rng.integers(1, 12), rng.integers(1, 30)
    own = rng.integers(0, images, captions)
    scores = rng.integers(0, 6, (images, captions)).astype(np.float32)  # many ties
    moved_images, moved_captions = rng.permutation(images), rng.permutation(captions)
    place = np.argsort(moved_images)
    i2t, t2i = ranks(scores, own)
    moved_i2t, moved_t2i = ranks(scores[moved_images][:, moved_captions], place[own[moved_captions]])
    np.testing.assert_array_equal(moved_i2t, i2t[moved_images])
    np.testing.assert_array_equal(moved_t2i, t2i[moved_captions])


@given(st.integers(0, 10_000))
def test_a_higher_right_score_never_ranks_lower(seed):
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(6), 2)
    scores = rng.normal(size=(6, 12))
    better = scores.copy()
    better[own, np.arange(12)] += rng.random(12)
    assert (ranks(better, own)[1] <= ranks(scores, own)[1]).all()


def test_1k_is_the_mean_of_folds_that_know_nothing_of_each_other():
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(2000), 2)
    scores = rng.normal(size=(2000, 4000)).astype(np.float32)
    scores[own, np.arange(4000)] += 2
    found = retrieval(scores, own, "1k", resamples=50)
    folds = [retrieval(scores[f:f + 1000, 2 * f:2 * f + 2000], own[:2000], resamples=2) for f in (0, 1000)]
    for name in found:
        assert found[name].value == pytest.approx(np.mean([fold[name].value for fold in folds]))
        assert found[name].low <= found[name].value <= found[name].high
    assert found["rsum"].value > retrieval(scores, own, resamples=2)["rsum"].value  # fewer wrong answers
    with pytest.raises(HeedError, match="multiple of 1,000"):
        retrieval(scores[:1500, :3000], own[:3000], "1k")


def test_chance_agrees_with_random_scores():
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    trials = [retrieval(rng.random((30, len(own))), own, resamples=1) for _ in range(150)]
    for name, expected in chance(own, 30).items():
        assert np.mean([trial[name].value for trial in trials]) == pytest.approx(expected, rel=0.1), name


@pytest.mark.parametrize(("scores", "own"), [
    (np.zeros((2, 3)), [0, 1]), (np.zeros((2, 2)), [0, 2]), (np.zeros((2, 2)), [0, -1]), (np.zeros((2, 0)), []),
])
def test_captions_that_do_not_fit_the_scores_are_refused(scores, own):
    with pytest.raises(HeedError, match="image"):
        retrieval(scores, np.array(own, np.int64))
    with pytest.raises(HeedError, match="protocol"):
        retrieval(np.zeros((1, 1)), [0], "2k")
