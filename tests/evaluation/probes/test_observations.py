import json
from dataclasses import replace

import pytest

from evaluation.bootstrap import Figure
from evaluation.probes.observations import observe, write_observations
from evaluation.probes.result import Result


def figure(value, width=0.01):
    return Figure(value, value - width, value + width, 100)


def results(good=True, shift=0.0):
    """Figures of a subject of which everything holds (``good``), or of random weights."""
    importance = tuple({"table": "importance", "looking": "[CLS]", "layer": f"layer {i}", "text share": figure(
        0.7 + shift), "ratio": figure((1.4 if good else 1.0) + shift)} for i in range(3))
    heads = tuple({"table": "cross-modal heads", "direction": "image->text", "statistic": statistic,
                   "highest head": "layer 1 head 1", "highest": figure(0.9 if good else 0.3),
                   "share of heads above 0.5": figure(0.15)} for statistic in ("any token", "mean over tokens"))
    linear = {probe: tuple({"table": table, "features": "all heads", "accuracy": figure(0.8 if good else 0.5),
                            "shuffled": figure(0.5), "over box": figure(0.2), "over majority": figure(0.3)}
                           for table in tables)
              for probe, tables in (("coreference-attention", ("coreference detection", "coreference classification")),
                                    ("relations-attention", ("relation identification", "relation classification")))}
    best = tuple({"table": "best layers", "task": task, "layer": "layer 2", "accuracy": figure(0.8 if good else 0.5),
                  "majority": figure(0.5), **dict.fromkeys(("over majority", "over words", "over length",
                                                            "selectivity"), figure(0.1))} for task in "abc")
    return {name: Result(name, "subject", rows) for name, rows in (
        ("importance", importance), ("cross-modal-heads", heads), *linear.items(), ("linguistic", best))}


def verdicts(found):
    return [one.verdict for one in observe(found)]


def test_what_holds_in_every_condition_is_supported():
    assert verdicts({"subject": results(), "random": results(False)}) == ["supported"] * 5


def test_what_random_weights_show_as_well_is_not_supported():
    assert verdicts({"subject": results(), "random": results()}) == ["not supported"] * 5


def test_without_random_weights_beside_it_nothing_is_supported():
    assert verdicts({"subject": results()}) == ["not supported"] * 5


def test_an_interval_that_reaches_its_bound_is_not_enough():
    found = results()
    rows = [{**row, "over box": figure(0.005)} for row in found["relations-attention"].rows]
    found["relations-attention"] = replace(found["relations-attention"], rows=tuple(rows))
    assert verdicts({"subject": found, "random": results(False)})[2:4] == ["supported", "not supported"]


def test_more_text_than_image_by_number_alone_is_not_supported():
    found = results()
    rows = [{**row, "ratio": figure(1.0)} for row in found["importance"].rows]
    found["importance"] = replace(found["importance"], rows=tuple(rows))
    one = observe({"subject": found, "random": results(False, -0.1)})[0]
    assert one.verdict == "not supported" and [c.holds for c in one.conditions] == [True, False, True]


def test_what_was_not_run_or_has_no_figures_is_not_measured(tmp_path):
    assert verdicts({"subject": {}}) == ["not measured"] * 5
    found = {"subject": {"importance": Result("importance", "subject", notes=("not defined here: two streams",))}}
    observed = write_observations(found, tmp_path)
    assert observed[0].also == ("not defined here: two streams",)
    said = json.loads((tmp_path / "observations.json").read_text())
    assert [one["verdict"] for one in said] == ["not measured"] * 5
    assert "not defined here: two streams" in (tmp_path / "observations.md").read_text()


@pytest.mark.parametrize("good", [True, False])
def test_the_page_lists_every_condition_with_its_figures(tmp_path, good):
    write_observations({"subject": results(good), "random": results(False)}, tmp_path)
    text = (tmp_path / "observations.md").read_text()
    assert text.count("## ") == 5 and ("- [ ]" in text) != good and "0.300 [0.290, 0.310]" in text
