import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.bootstrap import Figure
from evaluation.report.curves import charts, ticks
from evaluation.report.figures import chosen_words
from evaluation.report.panels import background, panel
from evaluation.report.tables import differences, metric_rows, number
from evaluation.report.words import described, labels, verdict
from evaluation.run_folder import RunFolder


def run(path, config=None, metrics=()):
    return RunFolder(path, config or {}, {}, list(metrics), {}, {}, {})


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 8))
def test_ticks_enclose_their_range_in_even_steps(low, span, count):
    found = ticks(low, low + span, count)
    slack = 1e-6 * max(1, abs(low), span)
    assert found[0] <= low + slack and found[-1] >= low + span - slack
    assert 2 <= len(found) <= 2 * count + 4
    assert np.ptp(np.diff(found)) <= slack


def test_curves_hold_the_logged_values_and_average_long_ones(tmp_path):
    train = [{"step": s, "epoch": 0, "split": "train", "loss": float(s)} for s in range(1, 961)]
    val = [{"step": s, "epoch": 0, "split": "val", "t2i_r1": s / 10, "rsum": 1.0} for s in (480, 960)]
    found = charts([run(tmp_path, metrics=train + val), run(tmp_path)])
    assert [chart.name for chart in found] == ["train loss", "val rsum", "val t2i_r1"]
    loss = found[0].lines[0]
    assert len(found[0].lines) == 1 and len(loss.x) == 240
    assert loss.y[0] == pytest.approx(2.5) and loss.y[-1] == pytest.approx(958.5)  # means of four
    assert (found[2].lines[0].x, found[2].lines[0].y) == ([480, 960], [48, 96])
    assert found[2].title == "Text to image, R@1 (%)" and found[2].x_range == (0, 960)


def test_the_strip_places_intervals_chance_and_the_best():
    def evaluation(value):
        return {"retrieval": {"t2i_r1": Figure(value, value - 10, value + 10, 9).to_json(),
                              "t2i_mean": Figure(value, value, value, 9).to_json()}, "chance": {"t2i_r1": 5.0}}

    recall, rank = metric_rows([evaluation(40.0), evaluation(60.0), None], "retrieval")
    assert recall.cells[0].strip == pytest.approx((0.3, 0.4, 0.5)) and recall.marks == [(0.05, "chance")]
    assert [cell.best for cell in recall.cells] == [False, True, False]
    assert [cell.best for cell in rank.cells] == [True, False, False]  # a low rank is good
    assert (recall.cells[1].value, recall.cells[1].interval, recall.cells[2].value) == ("60.0 %", "50.0 to 70.0", "–")
    same = metric_rows([evaluation(40.0), evaluation(40.0)], "retrieval")[0]
    assert not any(cell.best for cell in same.cells)


def test_settings_are_parted_into_those_that_differ_and_those_that_do_not(tmp_path):
    runs = [run(tmp_path, {"score": score, "seed": 0, "out": score, "loop": {"drop_at": [0.5], "flag": True}})
            for score in ("dot", "general")]
    apart, shared = differences(runs)
    assert apart == [("score", ["dot", "general"])]
    assert shared == [("seed", "0"), ("loop.drop_at", "0.5"), ("loop.flag", "yes")]


def test_words(tmp_path):
    assert labels([run(tmp_path / "a" / "x"), run(tmp_path / "b" / "x")]) == ["a/x", "b/x"]
    assert labels([run(tmp_path / "x"), run(tmp_path / "y")]) == ["x", "y"]
    assert verdict(["a", "b"], [1, 1]) == ("good", "ranked first by all")
    assert verdict(["a", "b"], [7, 1]) == ("some", "ranked first by b")
    assert verdict(["a"], [2]) == ("bad", "not ranked first")
    metrics = [{"step": s, "epoch": s // 600, "split": "train"} for s in (1, 1200)]
    said = described(run(tmp_path, {"task": "matching", "loop": {"batch_size": 8}}, metrics))
    assert said == "Matching, trained for 2 epochs: 1,200 steps of 8 samples."


@pytest.mark.parametrize(("value", "said"), [
    (0, "0"), (100.0, "100"), (62.0, "62.0"), (2.0, "2"),
    (43.21, "43.2"), (8.06, "8.06"), (9.96, "10.0"), (1234.5, "1,234"), (0.5, "0.50")])
def test_numbers(value, said):
    assert number(value) == said


def sample():
    return {"text": "a red cup", "width": 40, "height": 20, "words": [[0, 1], [2, 5], [6, 9]],
            "phrases": [{"boxes": [[20, 0, 40, 20]], "words": [1, 2]}],
            "boxes": [[[0, 0, 10, 20], [20, 0, 40, 20]]]}


def test_a_panel_brightens_what_is_attended():
    weights = {"boxes": 0, "weights": [[1.0, 0.0], None, [0.0, 1.0]]}
    black = background(sample(), np.zeros((20, 40, 3), np.uint8), 200)
    first = panel(sample(), weights, 0, black)
    assert first.shape == (100, 200, 3)
    assert first[50, 25].tolist() == [127, 88, 0] and first[50, 150].tolist() == [0, 0, 0]
    second = panel(sample(), weights, 1, black)  # no attention: only its phrase's true box, dashed
    assert set(second[:2, 100:200, 0].ravel().tolist()) == {20, 255} and second[50, 150].tolist() == [0, 0, 0]


def test_words_of_phrases_are_drawn_first():
    many = {"words": [[i * 10, i * 10 + 3 + (i == 4)] for i in range(12)], "phrases": [{"words": [10, 11]}]}
    assert chosen_words(many) == [0, 1, 2, 3, 4, 5, 10, 11]
