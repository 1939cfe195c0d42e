import numpy as np
import torch

from features.boxes import iou
from features.selection import choose, surviving


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
