import builtins
from dataclasses import replace

import numpy as np
import pytest

from evaluation.metrics.detection import Boxes, coverage, mean_average_precision
from features.errors import HeedError

SQUARE = [10.0, 10.0, 20.0, 20.0]


def image(rows, classes=None, scores=None):
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    kinds = np.zeros(len(boxes), np.int32) if classes is None else np.array(classes, np.int32)
    return Boxes(boxes, kinds, None if scores is None else np.array(scores, np.float32))


def test_perfect_boxes_score_one_in_every_class():
    truth = [image([SQUARE, [30, 30, 50, 60]], [0, 3]), image([]), image([SQUARE], [3])]
    found = [image(part.boxes, part.classes, np.full(len(part.boxes), 0.9)) for part in truth]
    assert mean_average_precision(truth, found) == pytest.approx({"map": 1.0, "map50": 1.0, "map75": 1.0})


def test_a_box_of_iou_0_8_counts_up_to_0_8():
    # 10 x 8 inside 10 x 10: IoU 0.8, right at the thresholds 0.50 … 0.80, seven of ten.
    figures = mean_average_precision([image([SQUARE])], [image([[10, 10, 20, 18]], scores=[0.5])])
    assert figures["map50"] == pytest.approx(1.0)
    assert figures["map75"] == pytest.approx(1.0)
    assert figures["map"] == pytest.approx(0.7)


def test_average_precision_by_hand():
    """Four true boxes; found, by score: right, wrong, right. Precision 1 up to recall 1/4, then 2/3 up to 1/2."""
    places = [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 69, 9]]
    found = [places[0], [80, 80, 99, 99], places[1]]
    figures = mean_average_precision([image(places)], [image(found, scores=[0.9, 0.8, 0.7])])
    recalls = np.arange(101) / 100
    expected = np.mean(np.where(recalls <= 0.25, 1.0, np.where(recalls <= 0.5, 2 / 3, 0.0)))
    assert figures["map50"] == pytest.approx(expected)
    assert figures["map"] == pytest.approx(expected)


def test_the_wrong_class_counts_as_wrong():
    figures = mean_average_precision([image([SQUARE], [1])], [image([SQUARE], [2], [0.9])])
    assert figures["map"] == 0.0


def test_nothing_found_and_nothing_to_find():
    assert mean_average_precision([image([SQUARE])], [image([], scores=[])])["map"] == 0.0
    assert np.isnan(mean_average_precision([image([])], [image([SQUARE], scores=[1.0])])["map"])
    with pytest.raises(HeedError, match="2 images"):
        mean_average_precision([image([]), image([])], [image([])])


def test_coverage_counts_sure_boxes_of_any_class_and_their_attributes():
    far = [[60.0, 60, 70, 70], [80, 80, 90, 90]]
    truth = [replace(image([SQUARE, *far]), attributes=np.array([[1, 2], [3, 4], [5, 6]])), image([])]
    truth[1] = replace(truth[1], attributes=np.zeros((0, 2), int))
    seen = image([SQUARE, [10, 10, 20, 16], far[0], [80, 80, 90, 84]], [7, 7, 7, 7], [0.9, 0.95, 0.1, 0.9])
    seen = replace(seen, attributes=np.array([[1, 9], [8, 8], [3, 4], [5, 6]]))
    none = replace(image([], scores=[]), attributes=np.zeros((0, 0), int))
    # Only the square is covered: the second is found with too low a score, the third with an IoU of 0.4.
    recall, right = coverage(truth, [seen, none], 2)
    assert recall == pytest.approx(1 / 3)
    assert right == [1.0, 0.0]
    assert np.isnan(coverage([truth[1]], [none], 2)[0])


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(HeedError, match=r"heed\[detection\]"):
        mean_average_precision([], [])
