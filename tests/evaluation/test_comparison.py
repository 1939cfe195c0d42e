import csv
import io
import math

import pytest

from evaluation.comparison import Group, compare, flat_figures
from evaluation.comparison_tables import to_csv, to_latex, to_markdown
from features.errors import HeedError

BASE = (50.0, 52.0, 47.0, 55.0, 51.0)
TWINS = Group(("dot", "cosine"), "unit vectors")


def results():
    shifted = {"dot": BASE, "cosine": [v + d for v, d in zip(BASE, (1, -1, 1, 0, 1), strict=True)],
               "better": [v + 9 + d for v, d in zip(BASE, (0.1, -0.1, 0.2, 0, 0), strict=True)],
               "alike": [v + d for v, d in zip(BASE, (3, -3, 2, -1, 0), strict=True)]}
    return {name: {seed: {"r.sum": value} for seed, value in enumerate(values)} for name, values in shifted.items()}


def test_figures_are_found_at_any_depth_and_nothing_else_is():
    figure = {"value": 1.5, "low": 1, "high": 2, "n": 3}
    found = {"task": "x", "retrieval": {"r1": figure, "deep": {"r5": {**figure, "value": None}}}, "notes": ["a"],
             "chance": {"r1": 0.5}}
    assert dict(flat_figures(found)) == pytest.approx({"retrieval.r1": 1.5, "retrieval.deep.r5": math.nan}, nan_ok=True)


def test_the_noise_floor_is_what_equal_variants_differ_by():
    one, = compare(results(), "dot", [TWINS])
    assert one.floor == pytest.approx(0.4)  # mean of 1, -1, 1, 0, 1
    assert one.spreads == (pytest.approx((0.4, math.sqrt(4 / 5))),)
    assert one.within_floor(one.row("alike")) and not one.within_floor(one.row("better"))


def test_only_the_variant_that_always_gains_is_found_to_differ():
    one, = compare(results(), "dot", [TWINS])
    assert one.row("better").p_holm < 1e-6
    assert one.row("alike").p_holm > 0.5 and one.row("cosine").p_holm > 0.5
    assert one.row("dot").against is None


def test_a_run_without_a_figure_does_not_count():
    found = results()
    del found["better"][3]["r.sum"]
    found["alike"] = {}
    one, = compare(found, "dot")
    assert one.row("better").mean.n == 4 and one.row("better").against.difference.n == 4
    assert one.row("alike").mean.n == 0 and math.isnan(one.floor)
    assert "–" in to_markdown([one], "dot", [])


def test_an_unknown_baseline_is_named():
    with pytest.raises(HeedError, match="'dto' is none of the variants"):
        compare(results(), "dto")


def test_tables_hold_the_figures():
    compared = compare(results(), "dot", [TWINS])
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(to_csv(compared)))}
    assert float(rows["better"]["difference"]) == pytest.approx(9.04) and rows["dot"]["p"] == ""
    assert float(rows["dot"]["mean"]) == 51 and float(rows["dot"]["high"]) == pytest.approx(54.62, abs=1e-3)
    assert rows["cosine"]["equal_group"] == "1" and rows["alike"]["equal_group"] == ""
    assert rows["alike"]["within_noise_floor"] == "1" and rows["better"]["within_noise_floor"] == "0"
    markdown = to_markdown(compared, "dot", [TWINS])
    assert "| better | 5 | **60.0** ± 3.5 |" in markdown and "| dot (a) | 5 | 51.0 ± 3.6 |" in markdown
    assert "| alike | 5 | 51.2 ± 2.8 ≈ |" in markdown and "- (a) dot, cosine: unit vectors." in markdown
    latex = to_latex(compared, "dot", [TWINS])
    assert r"better & \textbf{60.0} $\pm$ 3.5 \\" in latex and r"\toprule" in latex
    assert latex.count("{") == latex.count("}")
