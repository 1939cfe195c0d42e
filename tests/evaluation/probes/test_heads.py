import numpy as np
import pytest

from evaluation.probes import cross_modal_heads, patterns
from tests.evaluation.probes.planted import pair, study


def test_one_region_is_enough_and_the_mean_over_tokens_says_that_it_is_one_of_four(tmp_path):
    found = cross_modal_heads.run(study(tmp_path, [pair(n, words=2) for n in range(10)], weights=one_region))
    rows = {(row["direction"], row["statistic"]): row for row in found.rows}
    any_token, tokens = (rows["image->text", statistic] for statistic in cross_modal_heads.STATISTICS)
    assert any_token["highest"].value == pytest.approx(0.5) and any_token["highest head"] == "layer 1 head 2"
    assert tokens["highest"].value == pytest.approx(0.5 / 4) and any_token["lowest"].value == 0
    assert np.array(found.maps["image->text any token"].values)[0, 1] == pytest.approx(0.5)


def one_region(p, attention):
    """2 words, [CLS], [SEP], 4 regions; uniform attention has 2/8 on words."""
    if int(p.id) % 2:
        attention[0, 1, 4, 4:] = 0
        attention[0, 1, 4, [0, 3]] = 0
    return attention


def test_special_tokens_count_as_text_where_they_are_kept(tmp_path):
    def weights(p, attention):
        attention[:, :, :, 0] = 1000
        return attention

    share = {exclude: cross_modal_heads.run(study(tmp_path / exclude, [pair(n) for n in range(4)], weights=weights,
                                                  exclude=exclude)).rows[0]["share of heads above 0.5"].value
             for exclude in ("keep", "both")}
    assert share == {"keep": 1, "both": 0}


def test_two_stream_layers_are_not_measured(tmp_path):
    found = cross_modal_heads.run(study(tmp_path, [pair(n) for n in range(4)], joint=False))
    assert not found.rows and "not defined" in found.notes[0]


def shapes(p, attention):
    """A head of each class: [CLS] and six words, [SEP], four regions."""
    n = attention.shape[2]
    attention[0, 0, :, [0, 7]] = 1000
    attention[0, 1, :, 3] = 1000
    for i in range(n):
        attention[0, 2, i, max(0, i - 1):i + 2] = 1000
    attention[1, 0, :8, :8] = attention[1, 0, 8:, 8:] = 1000
    attention[1, 0, :, [0, 7]] = 0
    attention[1, 1, :8, 8:] = attention[1, 1, 8:, 1:7] = 1000
    return attention


def test_each_planted_shape_is_named(tmp_path):
    found = patterns.run(study(tmp_path, [pair(n) for n in range(6)], weights=shapes))
    assert [row["class"] for row in found.find("heads")] == [
        "special", "vertical", "diagonal", "block", "across", "broad"]
    counted = {row["class"]: row["heads"] for row in found.find("patterns")}
    assert counted == {**dict.fromkeys(patterns.CLASSES, 1), "mixed": 0}
    uniform = found.find("heads", layer="layer 2", head=3)[0]
    assert uniform["entropy"] == pytest.approx(1) and uniform["special"] == pytest.approx(2 / 12)
    assert uniform["within"] == pytest.approx((6 / 12 + 4 / 12) / 2) and uniform["vertical"] == pytest.approx(1 / 12)
    assert uniform["diagonal"] == pytest.approx((4 * 3 + 2 * 2) / 6 / 12)


def test_blocks_of_two_stream_layers_are_measured_each(tmp_path):
    found = patterns.run(study(tmp_path, [pair(n) for n in range(4)], joint=False, layers=1, heads=2))
    heads = found.find("heads")
    assert [row["layer"] for row in heads[::2]] == [
        "layer 1 text->text", "layer 1 text->image", "layer 1 image->text", "layer 1 image->image"]
    assert {row["class"] for row in heads} == {"broad"}
    assert heads[2]["vertical"] == pytest.approx(1 / 4) and np.isnan(heads[2]["diagonal"])
