import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from training.models.masking import LEFT, choose, exchange, mask_regions, mask_words, overlapping

MASK, FIRST, LAST = 103, 104, 300


def test_a_tenth_of_the_told_words_is_replaced_a_tenth_left_and_the_rest_masked() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(FIRST, LAST, (400, 50))
    chosen = choose(np.ones(words.shape, bool), 0.15, rng, False)
    shown, targets = mask_words(words, chosen, MASK, (FIRST, LAST), rng)
    assert abs(chosen.mean() - 0.15) < 0.01
    assert np.array_equal(targets != LEFT, chosen) and np.array_equal(targets[chosen], words[chosen])
    assert np.array_equal(shown[~chosen], words[~chosen])
    told, true = shown[chosen], words[chosen]
    assert abs((told == MASK).mean() - 0.8) < 0.03
    assert abs((told == true).mean() - 0.1) < 0.02
    assert (told[(told != MASK)] >= FIRST).all() and (told < LAST).all()


@given(st.integers(1, 6), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_only_valid_places_are_chosen_and_one_at_least_where_asked(n: int, places: int, rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((n, places)) < 0.6
    chosen = choose(valid, rate, rng, True)
    assert not (chosen & ~valid).any()
    assert np.array_equal(chosen.any(1), valid.any(1))
    assert np.array_equal(choose(valid, 1.0, rng, False), valid) and not choose(valid, 0.0, rng, False).any()


def test_uniter_hides_all_that_is_told_and_lxmert_shows_a_fifth_of_it() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 20, 3)).astype(np.float32)
    valid = rng.random((300, 20)) < 0.8
    chosen = choose(valid, 0.3, rng, False)
    shown, hidden = mask_regions(features, valid, chosen, True, rng)
    assert np.array_equal(shown, features) and np.array_equal(hidden, chosen)
    shown, hidden = mask_regions(features, valid, chosen, False, rng)
    changed = (shown != features).any(-1)
    assert not (changed & ~chosen).any() and not (changed & hidden).any()
    assert abs(hidden.sum() / chosen.sum() - 0.8) < 0.03 and abs(changed.sum() / chosen.sum() - 0.1) < 0.02
    known = {tuple(row) for row in features[valid].tolist()}
    assert all(tuple(row) in known for row in shown[changed].tolist())


@given(st.integers(0, 50), st.floats(0.05, 0.9))
def test_overlapping_agrees_with_torchvision(seed: int, most: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.uniform(0, 50, (2, 6, 2, 2)), 2).reshape(2, 6, 4).astype(np.float32)
    chosen = rng.random((2, 6)) < 0.4
    for n in range(2):
        shares = box_iou(torch.from_numpy(boxes[n]), torch.from_numpy(boxes[n])).numpy()
        if np.abs(shares - most).min() > 1e-4:
            expected = (shares > most)[:, chosen[n]].any(1)
            assert np.array_equal(overlapping(boxes, chosen, most)[n], expected)


def test_half_of_the_captions_are_exchanged_and_never_for_one_of_the_same_image() -> None:
    rng = np.random.default_rng(0)
    keys = [f"{image}.png" for image in rng.integers(0, 30, 2000)]
    whose = exchange(keys, 0.5, rng)
    changed = whose != np.arange(2000)
    assert abs(changed.mean() - 0.5) < 0.04
    assert all(keys[place] != keys[whose[place]] for place in np.flatnonzero(changed))
    assert np.array_equal(exchange(["a.png"] * 5, 1.0, rng), np.arange(5))
