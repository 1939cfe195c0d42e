import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr

from evaluation.comparison import Group, compare
from evaluation.comparison_extras import agreement_markdown, relation_csv, relation_markdown
from evaluation.comparison_plot import Panel, plot_relation
from evaluation.relation import relation, spearman


def results(x, y, noise=0.0, seeds=3):
    rng = np.random.default_rng(0)
    return {f"v{i}": {s: {"acc": a + noise * rng.normal(), "int.w.gini": b + noise * rng.normal()}
                      for s in range(seeds)} for i, (a, b) in enumerate(zip(x, y, strict=True))}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=9))
@settings(max_examples=40, deadline=None)
def test_the_coefficient_is_scipys(pairs):
    x, y = np.array(pairs, float).T
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    else:
        assert math.isnan(spearman(x, y))


def test_a_strict_order_is_found_and_its_p_is_that_of_permutations():
    found = relation(results(range(7), np.exp(range(7))), "acc", "int.w.gini")
    assert (found.rho, found.low, found.high, found.models) == (pytest.approx(1), pytest.approx(1), pytest.approx(1), 7)
    assert found.p < 0.002  # 2 / 7! = 0.0004, and 1 / 10,001
    assert replace(found, p=0.0004).p_text == "< 0.001" and replace(found, p=0.0123).p_text == "= 0.012"
    four = relation(results(range(4), range(4)), "acc", "int.w.gini")
    assert four.p == pytest.approx(2 / 24, abs=0.012)  # never below, with four models


def test_equal_variants_count_once():
    x, y = [0, 1, 2, 0, 0, 0], [0, 1, 2, 5, -5, 0]
    found = relation(results(x, y), "acc", "int.w.gini", [Group(("v0", "v3", "v4", "v5"), "one model")])
    assert found.models == 3 and found.rho == pytest.approx(1)


def test_noisy_seeds_widen_the_interval():
    sharp, blurred = (relation(results(range(6), [0, 2, 1, 3, 5, 4], noise, 5), "acc", "int.w.gini")
                      for noise in (0.01, 3.0))
    assert sharp.high - sharp.low < 0.1 < blurred.high - blurred.low


def test_two_models_have_no_relation():
    found = relation(results([1, 2], [1, 2]), "acc", "int.w.gini")
    assert math.isnan(found.rho) and "– | – | – | 2 |" in relation_markdown("acc", [found])
    assert relation_csv("acc", [found]).splitlines()[1] == "acc,int.w.gini,,,,,2"


@pytest.mark.timeout(300)
def test_the_plot_shows_every_variant_and_the_floor(tmp_path):
    found = compare(results([10, 11, 14, 12], [1, 2, 3, 4], 0.2), "v0", [Group(("v0", "v1"), "twins")])
    accuracy, gini = found
    plot_relation(accuracy, [Panel(gini, "note")], "v0", tmp_path / "x.png")
    picture = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).reshape(-1, 3)
    for colour in ((0x44, 0x77, 0xAA), (0xEE, 0x66, 0x77), (0x22, 0x88, 0x33), (0xCC, 0xBB, 0x44)):
        assert (np.abs(picture.astype(int) - colour).max(1) < 40).sum() > 50
    before = (tmp_path / "x.png").read_bytes()
    plot_relation(accuracy, [Panel(gini, "note")], "v0", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes() == before


def test_agreement_is_told_with_its_range_and_chance():
    words = {"js": (0.91, 0.9, 0.92), "top": (0.5, 0.4, 0.6), "chance": (0.1, 0.1, 0.1)}
    assert "| dot | words | 3 | 0.910 (0.900 to 0.920) | 0.500 (0.400 to 0.600) | 0.100 |" in agreement_markdown(
        {"dot": {"words": words}}, {"dot": 3})
