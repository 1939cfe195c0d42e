"""The QVHighlights figures: the official evaluator's results, its hand cases, and a plain loop over random files."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.commands.moments import EvaluateMoments
from evaluation.metrics import moments, saliency
from evaluation.metrics.moments import Windows
from evaluation.moments import evaluate_moments
from features.errors import HeedError
from tests.shared import SHARED, needs_shared

DATA = SHARED / "data/qvhighlights"
TRUE = [[0, 4], [10, 20], [30, 50], [60, 100]]


def judge(windows, true=TRUE, scores=None, clips=(), rated=(), duration=120):
    row = {"qid": 1, "pred_relevant_windows": windows} if windows is not None else {"qid": 1}
    if scores is not None:
        row["pred_saliency_scores"] = scores
    truth = {"qid": 1, "vid": "v", "duration": duration, "relevant_windows": true, "relevant_clip_ids": list(clips),
             "saliency_scores": [[r] * 3 for r in rated]}
    return evaluate_moments([row], [truth], resamples=0)


@needs_shared
def test_the_official_evaluators_sample_gives_its_file_and_its_unrounded_figures():
    found = evaluate_moments(DATA / "sample_val_preds.jsonl", DATA / "highlight_val_release.jsonl", resamples=20)
    assert found["official"] == json.loads((DATA / "sample_val_preds_metrics_raw.json").read_text())
    golden = json.loads((SHARED / "golden/qvhighlights_sample_val.json").read_text())
    golden = {name: value for name, value in golden.items() if name not in ("what", "source")}
    assert {name: found["figures"][name]["value"] for name in golden} == pytest.approx(golden, abs=1e-6)
    low, value, high = (found["figures"]["MR-full-mAP"][name] for name in ("low", "value", "high"))
    assert low < value < high


PERFECT = [[*window, score] for window, score in zip(TRUE, (0.9, 0.8, 0.7, 0.6), strict=True)]


@pytest.mark.parametrize(
    ("windows", "full", "short", "middle", "long", "r1"),
    [
        (PERFECT, 100, 100, 33.33, 25, 100),
        ([*PERFECT, [0, 4, 0.85]], 85, 83.33, 25, 20, 100),
        ([[4, 0, 0.99], *PERFECT], 85, None, None, None, 0),  # 0 / 0 matches, as officially
        ([[5, 5, 0.99], *PERFECT], 80, None, None, None, 0),
        ([*[[101, 102, 0.1]] * 10, *PERFECT], 0, 0, 0, 0, 0),  # cut at ten in list order, before sorting
    ],
)
def test_hand_cases_of_the_official_evaluator(windows, full, short, middle, long, r1):
    found = judge(windows)["official"]
    assert found["full"]["MR-mAP"]["average"] == full and found["full"]["MR-R1"]["0.95"] == r1
    for name, value in (("short", short), ("middle", middle), ("long", long)):
        assert value is None or found[name]["MR-mAP"]["average"] == value, name


def test_an_iou_of_exactly_the_threshold_counts():
    found = judge([[0, 10, 1.0]], [[0, 20]])["official"]["full"]
    assert found["MR-R1"]["0.5"] == found["MR-mAP"]["0.5"] == 100 and found["MR-R1"]["0.55"] == 0


@pytest.mark.parametrize(("labels", "scores", "expected"), [
    ([0, 1, 1, 0], [4, 3, 2, 1], 2 / 3), ([1, 1, 0, 1, 0], [0.9, 0.9, 0.8, 0.7, 0.6], 0.875),
    ([0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6], 0.5), ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], 5 / 6),
    ([0, 1, 1, 0], [1, 1, 1, 1], 0.5), ([0, 0], [1, 2], 0), ([1, 1], [1, 2], 1),
])  # fmt: skip
def test_average_precision_of_clips_by_hand(labels, scores, expected):
    found = saliency.average_precision(np.array([scores], float), np.array([[labels]], bool), np.array([len(labels)]))
    assert found[0, 0] == pytest.approx(expected, abs=1e-12)


def test_short_saliency_lists_are_filled_with_zeros_which_outrank_negative_scores():
    # 15 clips; clip 0 is positive with score -1; the 14 clips that are not told get 0 and stand before it.
    found = judge(None, scores=[-1.0], clips=[0], rated=[4], duration=30)
    assert found["figures"]["HL-min-VeryGood-mAP"]["value"] == pytest.approx(100 / 15)
    assert found["figures"]["HL-min-VeryGood-Hit1"]["value"] == 100
    assert "cut or filled with zeros: 1" in found["notes"][0]


def test_the_best_clip_behind_the_end_of_the_video_is_a_miss():
    found = judge(None, scores=[0, 1, 0, 9], clips=[1], rated=[4], duration=6)
    assert found["figures"]["HL-min-Fair-Hit1"]["value"] == 0


def test_a_query_without_predictions_is_left_out_of_map_and_missed_in_r1():
    truth = [{"qid": q, "vid": q, "duration": 120, "relevant_windows": TRUE} for q in (1, 2)]
    found = evaluate_moments([{"qid": 1, "pred_relevant_windows": PERFECT}, {"qid": 2, "pred_relevant_windows": []}],
                             truth, resamples=0)
    assert found["official"]["brief"]["MR-full-mAP"] == 100 and found["official"]["brief"]["MR-full-R1@0.5"] == 50
    assert "left out of mAP and missed in R1: 1" in found["notes"][0]


def test_an_empty_range_has_no_figure_and_a_note():
    found = judge([[0, 40, 1.0]], [[0, 40]])
    assert found["official"]["short"]["MR-mAP"]["average"] is None and found["official"]["brief"]["MR-full-mAP"] == 100
    assert found["figures"]["MR-short-mAP"]["value"] is None and any("range short" in note for note in found["notes"])


@pytest.mark.parametrize(("submission", "words"), [
    ([{"qid": 1}], "neither pred_relevant_windows nor"), ([{"qid": 2}], "does not match the truth"),
    ([{}], "has no qid"), ([{"qid": 1}, {"qid": 1}], "query 1 twice"),
    ([{"qid": 1, "pred_relevant_windows": [[1, 2]]}], "Query 1 of the sub"),
    ([{"qid": 1, "pred_relevant_windows": [[0, float("nan"), 1]]}], "no finite numbers"), ([], "is empty"),
    ([{"qid": 1, "pred_saliency_scores": ["a"]}], "unusable pred_saliency_scores"),
])  # fmt: skip
def test_a_submission_that_cannot_be_judged_is_told_in_a_sentence(submission, words):
    truth = [{"qid": 1, "vid": "v", "duration": 9, "relevant_windows": TRUE, "relevant_clip_ids": [],
              "saliency_scores": []}]
    with pytest.raises(HeedError, match=words):
        evaluate_moments(submission, truth, resamples=0)


def plain_average_precision(predicted, true, threshold):
    """The definition, a window at a time."""
    taken, hits = set(), []
    for start, end, _ in sorted(predicted[:10], key=lambda window: -window[2]):
        ious = []
        for low, high in true:
            inter = max(0.0, min(end, high) - max(start, low))
            union = (end - start) + (high - low) - inter
            ious.append(inter / union if union else math.inf)
        order = sorted(range(len(true)), key=lambda i: ious[i])[::-1]
        chosen = next((i for i in order if i not in taken), None)
        hits.append(chosen is not None and ious[chosen] >= threshold)
        if hits[-1]:
            taken.add(chosen)
    precision = [sum(hits[:n + 1]) / (n + 1) for n in range(len(hits))]
    return sum(max(precision[n:]) for n, hit in enumerate(hits) if hit) / len(true)


seconds = st.integers(0, 12).map(float)
true_window = st.tuples(seconds, st.integers(1, 8)).map(lambda w: [w[0], w[0] + w[1]])
said_window = st.tuples(seconds, seconds, st.sampled_from([0.1, 0.5, 0.9])).map(list)
true_windows = st.lists(true_window, min_size=1, max_size=5)
said_windows = st.lists(said_window, min_size=1, max_size=13)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(said_windows, true_windows), min_size=1, max_size=4))
def test_average_precision_is_the_plain_loop_whatever_the_order_ties_and_lengths(queries):
    found = moments.average_precision(Windows.of([p for p, _ in queries], 3), Windows.of([t for _, t in queries], 2))
    expected = [[plain_average_precision(p, t, threshold) for threshold in moments.THRESHOLDS] for p, t in queries]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.tuples(st.booleans(), st.sampled_from([-1.0, 0.0, 0.5, 2.0])), min_size=1, max_size=9),
                min_size=1, max_size=4))
def test_clip_average_precision_is_the_plain_definition_with_ties_as_one_step(rows):
    longest = max(len(row) for row in rows)
    scores, labels = np.zeros((len(rows), longest)), np.zeros((len(rows), 1, longest), bool)
    expected = []
    for place, row in enumerate(rows):
        labels[place, 0, : len(row)], scores[place, : len(row)] = zip(*row, strict=True)
        positives = sum(label for label, _ in row)
        points = []  # (precision, recall) for each distinct score, highest first
        for least in sorted({score for _, score in row}, reverse=True):
            above = [label for label, score in row if score >= least]
            points.append((sum(above) / len(above), sum(above)))
        steps = [max(p for p, _ in points[n:]) for n in range(len(points))
                 if points[n][1] > (points[n - 1][1] if n else 0)]
        expected.append(1.0 if positives == len(row) else float(np.mean(steps)) if steps else 0.0)
    found = saliency.average_precision(scores, labels, np.array([len(row) for row in rows]))
    assert found[:, 0] == pytest.approx(np.array(expected), abs=1e-12)


def test_the_command_prints_a_table_or_the_official_json(tmp_path, capsys):
    truth, said = tmp_path / "truth.jsonl", tmp_path / "said.jsonl"
    rows = [{"qid": q, "vid": f"v{q}", "duration": 120, "relevant_windows": TRUE} for q in range(4)]
    truth.write_text("\n".join(map(json.dumps, rows)))
    said.write_text("\n".join(json.dumps({"qid": q, "pred_relevant_windows": PERFECT[q % 2:]}) for q in range(4)))
    assert EvaluateMoments(said, truth, official=True).run() == 0
    assert json.loads(capsys.readouterr().out)["brief"]["MR-full-mAP"] == 87.5
    assert EvaluateMoments(said, truth).run() == 0
    assert "87.5" in (out := capsys.readouterr().out) and "resampled by video" in out
