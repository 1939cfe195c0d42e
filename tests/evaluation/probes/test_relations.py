import numpy as np
import pytest

from evaluation.probes import relations_attention, relations_states
from evaluation.probes.examples import relation_examples
from evaluation.probes.linear import ALL
from tests.evaluation.probes.planted import pair, study

PREDICATES = ("on", "near", "under")


def related_pairs(n=60):
    found = []
    for i in range(n):
        rng = np.random.default_rng([i, 5])
        a, b, c = rng.permutation(4)[:3].tolist()
        found.append(pair(i, relations=[(a, PREDICATES[i % 3], b), (b, PREDICATES[i // 3 % 3], c)]))
    return found


def weights(p, attention):
    """Head p of layer 1 looks from subject to object of predicate p."""
    for first, predicate, second in p.relations:
        attention[0, PREDICATES.index(predicate), 8 + first, 8 + second] = 6
    return attention


def test_a_planted_relation_is_identified_and_classified_from_attention(tmp_path):
    found = relations_attention.run(study(tmp_path, related_pairs(), weights=weights, seeds=2))
    for table in ("relation identification", "relation classification"):
        rows = {row["features"]: row for row in found.find(table)}
        assert rows[ALL]["accuracy"].value == 1 and rows[ALL]["over boxes"].low > 0.1
        assert rows[ALL]["selectivity"].value > 0.2
        assert rows["layer 2"]["accuracy"].value == pytest.approx(rows["majority"]["accuracy"].value)
    assert rows[ALL]["classes"] == 3 and found.choices["predicates"] == 32


def test_the_number_of_predicates_is_an_option(tmp_path):
    pairs = [pair(i, relations=[(0, "on" if i % 5 else "rare", 1), (2, "near", 3)]) for i in range(60)]
    found = relations_attention.run(study(tmp_path, pairs, predicates=2, seeds=1))
    assert found.find("relation classification", features=ALL)[0]["classes"] == 2


def test_a_relation_planted_in_the_states_is_found_by_their_product(tmp_path):
    """Related regions share the sign of their first number; the others have none."""
    def states(p, side, layer):
        found = np.random.default_rng([int(p.id), layer]).normal(size=(8 if side == "text" else 4, 8)) * 0.05
        if side == "image" and layer == 1:
            (first, _, second), = p.relations
            found[[first, second], 0] = [1, 1] if int(p.id) % 2 else [-1, -1]
            rest = [i for i in range(4) if i not in (first, second)]
            found[rest, 0] = 0
        return found

    pairs = [pair(i, relations=[(i % 4, "on", (i + 1 + i // 4 % 3) % 4)]) for i in range(90)]
    found = relations_states.run(study(tmp_path, pairs, states, seeds=1))
    rows = {row["features"]: row for row in found.find("relation identification")}
    assert rows["layer 2"]["accuracy"].value > 0.95 and rows["layer 2"]["over boxes"].low > 0
    assert rows["layer 1"]["accuracy"].value < 0.75


def test_negatives_are_unrelated_both_ways_and_as_many_as_the_related(tmp_path):
    pairs = related_pairs(20)
    found = relation_examples(study(tmp_path, pairs, seeds=2))
    for number, p in enumerate(pairs):
        here = found.of(number)
        ends = {(a, b) for a, _, b in p.relations} | {(b, a) for a, _, b in p.relations}
        pairs_of = list(zip(found.first[here], found.second[here], found.related[here], found.draw[here], strict=True))
        assert sum(related for *_, related, _ in pairs_of) == 2
        for draw in range(2):
            drawn = [(a, b) for a, b, related, d in pairs_of if not related and d == draw]
            assert len(drawn) == len(set(drawn)) == 2 and not set(drawn) & ends


def test_crowded_images_bring_no_more_relations_than_the_option(tmp_path):
    pairs = [pair(i, relations=[(a, "on", b) for a in range(4) for b in range(a)]) for i in range(6)]
    assert relation_examples(study(tmp_path, pairs, relations_each=3)).related.sum() == 18
