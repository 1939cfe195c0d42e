import numpy as np
import pytest

from evaluation.attention import agreement, has_attention, judge_attention, mean_agreement, read_attention
from evaluation.attention_file import Side, StepAttention, write_attention
from evaluation.predictions import CaptionAttention, MatchingRow, write_matching
from features.errors import HeedError

SPANS = np.array([[-1, -1], [0, 3], [4, 8]], np.int32)


def matching(path, weights, direction="t2i", keys=("a.b", "c")):
    rows = []
    for number, (key, block) in enumerate(zip(keys, weights, strict=True)):
        block = np.array(block, np.float32)
        boxes = np.zeros((block.shape[1], 4), np.float32)
        seen = CaptionAttention(("<start>", "red", "cube"), SPANS, boxes, block, 10, 10)
        rows.append(MatchingRow(f"caption {number}", key, np.zeros(len(keys), np.float32), seen))
    write_matching(path, list(keys), direction, rows)
    return path


BLOCKS = [[[1, 0], [0.5, 0.5], [1, 0]], [[1, 0, 0], [0, 1, 0], [1 / 3] * 3]]


def test_words_are_read_and_special_tokens_left_out(tmp_path):
    kinds = read_attention(matching(tmp_path / "test.arrow", BLOCKS))
    words = kinds["words"]
    assert words.lengths.tolist() == [2, 2, 3, 3] and words.image.tolist() == ["a.b", "a.b", "c", "c"]
    found = judge_attention(kinds)["words"]
    assert found["entropy"].value == pytest.approx((1 + 0 + 0 + 1) / 4) and found["entropy"].n == 4
    assert found["gini"].value == pytest.approx((0 + 1 / 2 + 2 / 3 + 0) / 4)


def test_in_i2t_the_regions_attend(tmp_path):
    blocks = [np.array([[0.5, 0.2], [0.25, 0.8], [0.25, 0]])]
    words = read_attention(matching(tmp_path / "test.arrow", blocks, "i2t", ("a",)))["words"]
    assert words.lengths.tolist() == [3, 3]
    assert words.weights.tolist() == pytest.approx([0.5, 0.25, 0.25, 0.2, 0.8, 0], abs=1e-7)


def test_every_kind_of_an_attention_file_is_judged_on_its_own(tmp_path):
    def row(step, name, weights):
        weights = np.array(weights, np.float32)
        return StepAttention("q1", "img", step, name, Side.words(["state"] * len(weights)),
                             Side.words(["x"] * weights.shape[1]), weights)

    (tmp_path / "test.json").write_text("[]")
    assert not has_attention(tmp_path / "test.json")
    with pytest.raises(HeedError, match=r"there is no test\.attention\.arrow beside it"):
        read_attention(tmp_path / "test.json")
    write_attention(tmp_path / "test.attention.arrow", [
        row(0, "control", [[0.5, 0.5]]), row(0, "read", [[1, 0, 0, 0], [0, 0, 0, 0]]), row(1, "control", [[1, 0]])])
    assert has_attention(tmp_path / "test.json")
    found = judge_attention(read_attention(tmp_path / "test.json"))
    assert {kind: figures["entropy"].value for kind, figures in found.items()} == {"control": 0.5, "read": 0}
    assert found["read"]["entropy"].n == 1  # a query with nothing to attend to does not count


def test_agreement_of_runs(tmp_path):
    first = read_attention(matching(tmp_path / "a.arrow", BLOCKS))
    turned = [[row[::-1] for row in block] for block in BLOCKS]
    second = read_attention(matching(tmp_path / "b.arrow", turned))
    assert agreement(first, first)["words"]["js"].value == pytest.approx(1)
    found = agreement(first, second)["words"]
    assert found["js"].value == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert found["top"].value == pytest.approx((1 / 2 + 0 + 1 + 1 / 3) / 4)
    assert found["chance"].value == pytest.approx((1 / 2 + 1 / 2 + 1 / 3 + 1 / 3) / 4)
    mean, low, high = mean_agreement([first, first, second])["words"]["js"]
    assert (mean, low, high) == pytest.approx(((1 + 0.75 + 0.75) / 3, 0.75, 1))
    assert mean_agreement([first]) == {}


def test_runs_of_other_samples_are_refused(tmp_path):
    first = read_attention(matching(tmp_path / "a.arrow", BLOCKS))
    other = read_attention(matching(tmp_path / "b.arrow", BLOCKS[:1], keys=("a.b",)))
    with pytest.raises(HeedError, match="attend on other samples"):
        agreement(first, other)
