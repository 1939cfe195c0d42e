import json

import numpy as np
import pytest

from evaluation.question_truth import read_question_truth, write_question_truth
from features.errors import HeedError
from pipeline.annotations import OcrToken, Phrase, Question, TextQuestion


def test_what_is_written_is_read(tmp_path):
    boxes = np.array([[1, 2, 3, 4.5], [0, 0, 9, 9]], np.float32)
    asked = [
        Question("q1", "a.png", "What is\u2028it?", ("cat", "a cat"), "query", boxes,
                 (Phrase(5, 7, boxes[:1], "thing"),)),
        Question("q2", "b.png", "Is it?", ()),
        TextQuestion("q3", "c.png", "What does it say?", ("stop",) * 10, (OcrToken("stop", boxes[0]),), "read", boxes),
    ]
    write_question_truth(tmp_path / "t.jsonl", asked)
    read = read_question_truth(tmp_path / "t.jsonl")
    for got, one in zip(read, asked, strict=True):
        assert (got.id, got.key, got.text, got.answers, got.kind) == (one.id, one.key, one.text, one.answers, one.kind)
        np.testing.assert_array_equal(got.boxes, one.boxes)
    assert (read[0].phrases[0].start, read[0].phrases[0].end, read[0].phrases[0].kind) == (5, 7, "thing")
    np.testing.assert_array_equal(read[0].phrases[0].boxes, boxes[:1])


def test_a_line_that_is_no_question_is_named(tmp_path):
    with pytest.raises(HeedError, match="there is no truth file"):
        read_question_truth(tmp_path / "t.jsonl")
    whole = {"id": "q", "image": "a", "text": "?", "answers": ["yes"], "kind": "", "boxes": []}
    for damage in ({"answers": "yes"}, {"boxes": [[1, 2, 3]]}, {"phrases": [1]}):
        (tmp_path / "t.jsonl").write_text(f"{json.dumps(whole)}\n{json.dumps(whole | damage)}\n")
        with pytest.raises(HeedError, match=r"line 2 of .* is not a question"):
            read_question_truth(tmp_path / "t.jsonl")
