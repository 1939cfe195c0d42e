"""What a detector must not give is a counted failure of its image, never a row and never the job's end."""

import dataclasses

import numpy as np
import pytest

from features.regions import Regions
from pipeline.detect import DetectRegions
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import Store
from tests.pipeline.toy import toy_regions


class Detector:
    dim, attributes, distribution = 8, 2, 0

    def __init__(self, change):
        self.change = change

    def describe(self):
        return {"name": "careless"}

    def detect(self, images, boxes=None):
        for image in images:
            found = toy_regions(b"some image")
            yield dataclasses.replace(found, **self.change(found)) if image[0, 0, 0] else found


def spoilt(name, change):
    return lambda found: {name: change(np.array(getattr(found, name), np.float32))}


def at(value, place):
    def change(values):
        values[place] = value
        return values
    return change


@pytest.mark.parametrize(("change", "words"), [
    (spoilt("features", at(np.nan, (1, 3))), "NaN or infinite"),
    (spoilt("features", at(np.inf, (0, 0))), "NaN or infinite"),
    (spoilt("features", at(7e4, (0, 0))), "too large for float16 (largest 7e+04)"),
    (spoilt("boxes", at(-np.inf, (0, 0))), "NaN or infinite"),
    (spoilt("boxes", at(0, (1, 2))), "is inverted (x2 < x1 or y2 < y1)"),
    (spoilt("boxes", at(66, (1, 3))), "lies outside its image of 64 x 64 pixels"),
    (spoilt("boxes", at(-3, (0, 1))), "lies outside its image of 64 x 64 pixels"),
    (spoilt("class_scores", at(np.nan, 0)), "confidences hold NaN"),
    (spoilt("attribute_scores", at(np.inf, (1, 1))), "confidences hold NaN"),
    (lambda found: {"classes": found.classes[:1]}, "disagree in length"),
])
def test_what_cannot_be_is_counted_with_its_reason(tmp_path, monkeypatch, change, words):
    monkeypatch.setattr("pipeline.detect.load_detector", lambda name, options: Detector(change))
    items = [Item(str(number), "x") for number in range(4)]
    monkeypatch.setattr("pipeline.detect._decode", lambda item, _: np.full((64, 64, 3), item.key == "2", np.uint8))
    summary = run_job(DetectRegions("careless", None), Source("x", items, 0), tmp_path / "store", inline=True)
    failure, = summary.failures
    assert failure["key"] == "2" and words in failure["reason"] and summary.status == 3
    assert list(Store.open(tmp_path / "store").keys()) == ["0", "1", "3"]


def test_boxes_a_pixel_past_the_border_are_the_fields_custom_and_stay():
    found = toy_regions(b"x")
    edge = np.tile(np.array([[-1, -0.5, 65, 65]], np.float32), (len(found), 1))
    assert dataclasses.replace(found, boxes=edge).checked().boxes is edge


def test_the_first_bad_box_is_named():
    found = toy_regions(b"x")
    boxes = found.boxes.copy()
    boxes[1] = [30, 4, 20, 9]
    with pytest.raises(Exception, match=r"box 1 \[30, 4, 20, 9\] is inverted"):
        Regions(**{**vars(found), "boxes": boxes}).checked()
