import numpy as np
import pytest

from evaluation.probes import coreference_attention, coreference_heads, coreference_states
from evaluation.probes.examples import coreference_examples, unlinked
from evaluation.probes.linear import ALL
from tests.evaluation.probes.planted import pair, study

KINDS = ("people", "clothing")


def linked_pairs(n=60):
    """Words 1 and 4 name regions that follow from the pair's number; the other two regions are named by nothing."""
    return [pair(i, links=[(1, (i % 4,), KINDS[i % 2]), (4, ((i + 1 + i // 4 % 3) % 4,), KINDS[i // 2 % 2])])
            for i in range(n)]


def plant(layer, head, way, strength=10.0):
    """Attention of one head on the linked partner: text position 1 + word, image position 8 + region."""
    def weights(p, attention):
        for link in p.links:
            word, region = 1 + link.start // 3, 8 + link.regions[0]
            query, key = (word, region) if way == "text->image" else (region, word)
            attention[layer, head, query, key] = strength
        return attention
    return weights


@pytest.mark.parametrize("way", coreference_heads.DIRECTIONS)
@pytest.mark.parametrize("joint", [True, False])
def test_attention_planted_on_the_linked_box_is_found_in_the_right_head(tmp_path, way, joint):
    found = coreference_heads.run(study(tmp_path, linked_pairs(), weights=plant(1, 2, way), joint=joint))
    other = next(name for name in coreference_heads.DIRECTIONS if name != way)
    row = found.find("coreference of single heads", direction=way, type="all")[0]
    assert row["head"] == "layer 2 head 3" and row["right"].value == 1 and row["right"].low == 1
    assert row["other phrase"].value == 0
    assert row["chance"].value == pytest.approx(1 / 4 if way == "text->image" else 1 / 6)
    assert np.array(found.maps[f"{way} validation"].values)[1, 2] == 1
    uniform = found.find("coreference of single heads", direction=other, type="all")[0]
    assert uniform["right"].value == pytest.approx(uniform["chance"].value, abs=1e-3)
    by_type = {row["type"]: row["right"].n for row in found.find("coreference of single heads", direction=way)}
    assert by_type["all"] == by_type["people"] + by_type["clothing"]


def test_uniform_attention_is_right_as_often_as_chance_says(tmp_path):
    for row in coreference_heads.run(study(tmp_path, linked_pairs(24))).rows:
        assert row["above chance"].value == pytest.approx(0, abs=1e-3)


def test_planted_attention_answers_detection_and_uniform_attention_nothing(tmp_path):
    found = coreference_attention.run(study(tmp_path, linked_pairs(), weights=plant(0, 1, "image->text"), seeds=2))
    rows = {row["features"]: row for row in found.find("coreference detection")}
    assert rows[ALL]["accuracy"].value == 1 and rows["layer 1"]["accuracy"].value == 1
    assert rows[ALL]["over majority"].value == pytest.approx(0.5) and rows[ALL]["over box"].low > 0.2
    assert rows["layer 2"]["accuracy"].value == pytest.approx(0.5)
    assert rows["majority"]["accuracy"].value == 0.5 and rows["phrase words"]["accuracy"].value == 0.5
    assert rows[ALL]["shuffled"].value < 0.75 and rows[ALL]["spread"] == 0


def test_a_type_that_the_region_s_state_shows_is_classified(tmp_path):
    """Region states of layer 2 hold the type of the phrase that names them; layer 1 is noise."""
    def states(p, side, layer):
        rng = np.random.default_rng([int(p.id), layer, side == "text"])
        found = rng.normal(size=(8 if side == "text" else 4, 8)) * 0.1
        for link in p.links:
            if side == "image" and layer == 1:
                found[link.regions[0], KINDS.index(link.kind)] += 3
        return found

    pairs = [pair(i, links=[(1, (i % 4,), KINDS[i // 3 % 2])]) for i in range(60)]
    found = coreference_states.run(study(tmp_path, pairs, states, seeds=1))
    rows = {row["features"]: row for row in found.find("coreference classification")}
    assert rows["layer 2"]["accuracy"].value == 1 and rows["layer 1"]["accuracy"].value < 0.9
    assert rows["layer 2"]["over phrase words"].low > 0
    detection = {row["features"]: row for row in found.find("coreference detection")}
    assert detection["layer 2"]["accuracy"].value > 0.9  # only the named region shows a type


def test_the_product_of_two_states_tells_what_side_by_side_cannot(tmp_path):
    """A phrase and its region share a random sign; side by side the sign of either says nothing."""
    def states(p, side, layer):
        rng = np.random.default_rng([int(p.id), 3])
        signs = rng.choice([-1.0, 1.0], 8)
        found = np.zeros((8 if side == "text" else 4, 8))
        for link in p.links:
            if side == "text":
                found[1 + link.start // 3] = signs
            else:
                found[:] = -signs
                found[link.regions[0]] = signs
        return found

    pairs = [pair(i, links=[(1, (i % 4,), "a")]) for i in range(80)]
    accuracy = {}
    for combine in ("product", "concat"):
        found = coreference_states.run(study(tmp_path / combine, pairs, states, combine=combine, seeds=1))
        accuracy[combine] = found.find("coreference detection", features="layer 1")[0]["accuracy"].value
    assert accuracy["product"] == 1 and accuracy["concat"] < 0.8


@pytest.mark.parametrize("pooling, expected", [("mean", 2.0), ("max", 3.0), ("first", 1.0)])
def test_a_phrase_s_pieces_are_pooled_as_the_option_says(pooling, expected):
    from evaluation.probes.phrases import pooled

    assert pooled(np.array([[1.0, 3.0, 2.0]]), 1, pooling).tolist() == [expected]


def test_negatives_are_other_annotated_regions_as_many_as_positives_in_each_draw(tmp_path):
    found = coreference_examples(study(tmp_path, linked_pairs(20), seeds=3))
    for number in range(20):
        here = found.of(number)
        assert found.related[here].sum() == 2
        for draw in range(3):
            assert ((found.draw[here] == draw) & ~found.related[here]).sum() == 2
    assert {tuple(sorted(set(found.draw[found.related])))} == {(-1,)}


def test_a_region_that_overlaps_the_named_one_is_no_negative():
    p = pair(0)
    p.boxes[1] = p.boxes[0] + 1
    assert 1 not in unlinked(p, (0,), "any").tolist() and 0 not in unlinked(p, (0,), "any").tolist()


def test_two_few_images_are_told_of_and_break_nothing(tmp_path):
    found = coreference_attention.run(study(tmp_path, linked_pairs(1)))
    assert not found.rows and "too few" in found.notes[0]
