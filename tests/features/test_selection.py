import numpy as np
import torch

from features.boxes import iou
from features.selection import choose, climb, confidences, detections, surviving, surviving_everywhere


def published_rule(boxes, scores, overlap, threshold, least, most):
    """Bottom-up attention's loop over classes, from its description, one image at a time."""
    shared = iou(boxes, boxes)
    best = np.zeros(len(boxes))
    for kind in range(scores.shape[1]):
        left = list(np.argsort(-scores[:, kind], kind="stable"))
        while left:
            top = left.pop(0)
            best[top] = max(best[top], scores[top, kind])
            left = [other for other in left if shared[top, other] <= overlap]
    kept = np.flatnonzero(best >= threshold)
    if len(kept) < least:
        kept = np.argsort(-best, kind="stable")[:least]
    elif len(kept) > most:
        kept = np.argsort(-best, kind="stable")[:most]
    return best, kept.tolist()


def random_image(rng, count, classes):
    corners = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 40, (count, 2))], 1).astype(np.float32)
    scores = rng.dirichlet(np.full(classes + 1, 0.3), count)[:, 1:]
    return boxes, scores


def run(parts, overlap, threshold, limits):
    boxes = torch.from_numpy(np.concatenate([boxes for boxes, _ in parts]))
    scores = torch.from_numpy(np.concatenate([scores for _, scores in parts]))
    image = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(boxes) for boxes, _ in parts]))
    confidence, classes = surviving(boxes, scores, image, overlap)
    starts = np.cumsum([0, *(len(boxes) for boxes, _ in parts)])
    chosen = choose(confidence, image, len(parts), threshold, limits)
    return confidence.numpy(), classes.numpy(), [(c.numpy() - s).tolist() for c, s in zip(chosen, starts, strict=False)]


def test_a_batch_follows_the_published_rule_image_by_image():
    rng = np.random.default_rng(1)
    parts = [random_image(rng, count, 6) for count in (70, 3, 25, 40)]
    seen = set()
    for limits in [(0, 100), (2, 12), (10, 30), (36, 36)]:
        confidence, _, chosen = run(parts, 0.3, 0.2, limits)
        best = []
        for (boxes, scores), mine in zip(parts, chosen, strict=True):
            each, kept = published_rule(boxes, scores, 0.3, 0.2, *limits)
            best.append(each)
            reached = int((each >= 0.2).sum())
            seen.add("few" if reached < limits[0] else "many" if reached > limits[1] else "in range")
            if (each[kept] >= 0.05).all():  # below the floor the order of filling up is heed's own
                assert mine == kept
            assert len(mine) == len(kept)
        best = np.concatenate(best)
        np.testing.assert_allclose(confidence[best >= 0.05], best[best >= 0.05])
        assert (confidence[best < 0.05] < 0.05).all()
    assert seen == {"few", "many", "in range"}


def test_the_class_reported_is_the_one_in_which_a_box_survived():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9.5], [0, 0, 10, 9]], np.float32)
    scores = np.array([[0.9, 0.05, 0.0], [0.5, 0.4, 0.0], [0.3, 0.2, 0.0]])
    confidence, classes, _ = run([(boxes, scores)], 0.5, 0.2, (0, 9))
    assert confidence.tolist() == [0.9, 0.4, 0.0]  # the last is suppressed in each class it enters
    assert classes.tolist() == [0, 1, 0]


def test_boxes_in_range_keep_the_order_of_proposals():
    boxes = np.array([[0, 0, 5, 5], [20, 0, 25, 5], [40, 0, 45, 5], [60, 0, 65, 5]], np.float32)
    scores = np.array([[0.3], [0.1], [0.9], [0.5]])
    assert run([(boxes, scores)], 0.3, 0.2, (1, 4))[2] == [[0, 2, 3]]
    assert run([(boxes, scores)], 0.3, 0.2, (1, 2))[2] == [[2, 3]]
    assert run([(boxes, scores)], 0.3, 0.95, (2, 4))[2] == [[2, 3]]
    assert run([(boxes, scores)], 0.3, 0.95, (9, 9))[2] == [[2, 3, 0, 1]]


def test_a_place_in_the_batch_changes_nothing():
    """Boxes of one image among 300 copies of it: far offsets must not round them (they did in float32)."""
    rng = np.random.default_rng(2)
    boxes, scores = random_image(rng, 3, 80)
    boxes *= 20
    boxes[1] = boxes[0] + np.array([0, 0, 0.004, 0], np.float32)
    limit = float(iou(boxes[:1].astype(np.float64), boxes[1:2].astype(np.float64))[0, 0])
    alone = run([(boxes, scores)], limit - 1e-6, 0.0, (0, 9))
    many = run([(boxes, scores)] * 300, limit - 1e-6, 0.0, (0, 9))
    np.testing.assert_array_equal(many[0].reshape(300, -1), np.tile(alone[0], (300, 1)))


def test_no_boxes_at_all():
    confidence, _, chosen = run([(np.zeros((0, 4), np.float32), np.zeros((0, 5)))] * 2, 0.3, 0.2, (10, 100))
    assert confidence.shape == (0,)
    assert chosen == [[], []]


def all_classes(boxes, scores, overlap):
    """`published_rule`'s best scores, for torch tensors of one image."""
    return published_rule(boxes.numpy(), scores.numpy(), overlap, 0.0, 0, 0)[0]


def test_every_class_counts_where_an_image_is_short_of_confident_boxes():
    """36 boxes of which most are under the floor: their order is the published one, as every class was suppressed."""
    rng = np.random.default_rng(3)
    parts = [random_image(rng, 50, 200), random_image(rng, 20, 200), random_image(rng, 40, 200)]
    parts = [(boxes, scores * np.where(np.arange(len(boxes)) < 5, 1, 0.2)[:, None]) for boxes, scores in parts]
    boxes = torch.from_numpy(np.concatenate([boxes for boxes, _ in parts]))
    scores = torch.from_numpy(np.concatenate([scores for _, scores in parts]))
    image = torch.repeat_interleave(torch.arange(3), torch.tensor([50, 20, 40]))
    expected = np.concatenate([all_classes(torch.from_numpy(b), torch.from_numpy(s), 0.3) for b, s in parts])
    np.testing.assert_allclose(surviving_everywhere(boxes, scores, image, 0.3), expected)
    quick, _ = surviving(boxes, scores, image, 0.3)
    assert not np.allclose(quick, expected)
    found = confidences(boxes, scores, image, 0.3, 0.2, 36)
    np.testing.assert_allclose(found, expected)
    starts = np.array([0, 50, 70])
    for chosen, start, (box, score) in zip(choose(found, image, 3, 0.2, (36, 36)), starts, parts, strict=True):
        assert (chosen.numpy() - start).tolist() == published_rule(box, score, 0.3, 0.2, 36, 36)[1]


def test_no_class_is_computed_anew_where_enough_boxes_are_confident():
    rng = np.random.default_rng(4)
    boxes, scores = random_image(rng, 30, 5)
    boxes, scores, image = torch.from_numpy(boxes), torch.from_numpy(scores), torch.zeros(30, dtype=torch.long)
    sure = int((surviving(boxes, scores, image, 0.3)[0] >= 0.05).sum())
    assert torch.equal(confidences(boxes, scores, image, 0.3, 0.2, sure), surviving(boxes, scores, image, 0.3)[0])
    # A threshold under the floor looks at every box.
    exact = surviving_everywhere(boxes, scores, image, 0.3)
    assert torch.equal(confidences(boxes, scores, image, 0.3, 0.01, 0), exact)


def by_suppression(boxes, scores, overlap):
    """Greedy suppression whatever the class."""
    shared, left, kept = iou(boxes, boxes), list(np.argsort(-scores, kind="stable")), []
    while left:
        kept.append(left.pop(0))
        left = [other for other in left if shared[kept[-1], other] <= overlap]
    return kept


def test_a_ladder_is_climbed_by_each_image_until_it_has_enough():
    rng = np.random.default_rng(5)
    rungs, parts = (0.3, 0.5, 0.7, 0.9), [random_image(rng, count, 3) for count in (60, 12, 200, 4)]
    boxes = torch.from_numpy(np.concatenate([boxes for boxes, _ in parts]))
    best = torch.from_numpy(np.concatenate([scores.max(1) for _, scores in parts]))
    image = torch.repeat_interleave(torch.arange(5), torch.tensor([60, 0, 12, 200, 4]))
    chosen = climb(boxes, best, image, 5, (10, 15), rungs)
    assert len(chosen[1]) == 0
    used, start = set(), 0
    for place, (box, scores) in zip([0, 2, 3, 4], parts, strict=True):
        for rung in rungs:
            expected = by_suppression(box, scores.max(1), rung)
            if len(expected) >= 10:
                break
        used.add(rung)
        assert (chosen[place].numpy() - start).tolist() == expected[:15]
        start += len(box)
    assert len(used) > 1


def test_detections_are_those_of_a_loop_over_images_and_classes():
    rng = np.random.default_rng(6)
    boxes = torch.from_numpy(np.concatenate([random_image(rng, 90, 1)[0] for _ in range(2)]))
    scores = torch.from_numpy(rng.permutation(180) / 180)
    kinds, image = torch.from_numpy(rng.integers(0, 4, 180)), torch.arange(180) // 90
    for place, found in enumerate(detections(boxes, scores, kinds, image, 3, 0.4, 25)):
        expected = []
        for kind in range(4):
            members = np.flatnonzero((image == place) & (kinds == kind))
            expected += members[by_suppression(boxes.numpy()[members], scores.numpy()[members], 0.4)].tolist()
        assert found.tolist() == sorted(expected, key=lambda i: -scores[i])[:25]


def test_rules_take_images_without_any_box():
    boxes, image = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    assert [len(part) for part in climb(boxes, torch.zeros(0), image, 2, (1, 2), [0.3])] == [0, 0]
    assert [len(part) for part in detections(boxes, torch.zeros(0), image, image, 2, 0.3, 9)] == [0, 0]
    assert confidences(boxes, torch.zeros(0, 7), image, 0.3, 0.2, 5).shape == (0,)
