import numpy as np
import pytest

from evaluation.probes import importance
from evaluation.probes.study import CLS, GLOBAL, PADDING, REGION, SEP, TASK, WORD
from evaluation.subjects import subject
from tests.evaluation.probes.planted import pair, study


def test_the_kinds_are_the_subjects():
    assert (PADDING, WORD, CLS, SEP, TASK, REGION, GLOBAL) == (
        subject.PADDING, subject.WORD, subject.CLS, subject.SEP, subject.TASK, subject.REGION, subject.GLOBAL)


@pytest.mark.parametrize("exclude", ["keep", "cls", "sep", "both"])
def test_uniform_attention_has_ratio_one_and_masses_that_sum_to_one(tmp_path, exclude):
    found = importance.run(study(tmp_path, [pair(n, regions=2 + n % 4, words=3 + n % 3) for n in range(12)],
                                 exclude=exclude))
    assert len(found.rows) == 6
    for row in found.rows:
        assert row["text"].value + row["image"].value + row["special"].value == pytest.approx(1, abs=1e-6)
        assert row["ratio"].value == pytest.approx(1, abs=1e-6)
        assert row["ratio"].low == pytest.approx(1, abs=1e-6)


def test_special_tokens_count_as_the_option_says(tmp_path):
    """6 words, [CLS], [SEP], 4 regions: uniform attention of 1/12 each."""
    share = {exclude: importance.run(study(tmp_path / exclude, [pair(n) for n in range(4)], exclude=exclude)).rows[0]
             for exclude in ("keep", "cls", "both")}
    assert share["keep"]["text"].value == pytest.approx(8 / 12) and share["keep"]["special"].value == 0
    assert share["cls"]["text"].value == pytest.approx(7 / 12)
    assert share["both"]["text share"].value == pytest.approx(6 / 10)


def test_a_head_that_looks_at_regions_alone_is_found(tmp_path):
    def weights(p, attention):
        attention[1, 2, :, :8] = 0
        return attention

    found = importance.run(study(tmp_path, [pair(n) for n in range(6)], weights=weights))
    values = np.array(found.maps["text share from CLS"].values)
    assert values[1, 2] == 0 and values[0] == pytest.approx([0.6] * 3)
    row = found.find("importance", layer="layer 2", looking="[CLS]")[0]
    assert row["image"].value == pytest.approx((4 / 12 * 2 + 1) / 3)


def test_two_stream_layers_are_not_measured(tmp_path):
    found = importance.run(study(tmp_path, [pair(n) for n in range(4)], joint=False))
    assert not found.rows and "not defined" in found.notes[0]
