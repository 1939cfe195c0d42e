"""Bottom-up attention's selection rule against ten photos of its own features (36 boxes each, train2014_obj36.tsv).

What the file holds of a region is its box, its most probable class and attribute, and their confidences. The rule
ordered regions by another number, the best score a box had in *any* class where no better box of that class overlapped
it, and of 300 proposals; neither the other scores nor the other 264 proposals are stored. So without weights this can
be compared and no more:

- a box that no stored box of at least its confidence overlaps survived in its own class: a suppressor that was not
  stored would have had to score higher than it and would then have been stored. Its confidence is what it was ordered
  by, and such boxes must come in the order that the rule gives them;
- the others were ordered by at most their confidence, so that none may come before a sure box that is more confident;
- an image of which exactly 36 proposals reached 0.2 is not ordered: it keeps the order of its proposals.

Features, boxes and scores themselves need the published weights.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from features.boxes import iou
from features.detectors.presets import RULES, Candidates, select
from pipeline.exchange import lxmert_tsv
from tests.shared import SHARED, needs_shared

TSV = SHARED / "data" / "butd_features" / "train2014_obj36.tsv"
IN_PROPOSAL_ORDER = "COCO_train2014_000000494628"
FIXED = replace(RULES["caffe"], boxes=(36, 36))
pytestmark = needs_shared


@pytest.fixture(scope="module")
def photos():
    read = {item.key: lxmert_tsv.read(item) for item in lxmert_tsv.items(TSV)}
    assert len(read) == 10
    return read


def apply(regions, rule):
    """The rule, with the stored boxes as proposals, of whose scores only the highest is known."""
    scores = torch.zeros(len(regions), 1600)
    scores[range(len(regions)), regions.classes.astype(np.int64)] = torch.from_numpy(regions.class_scores.copy())
    return select(Candidates(
        torch.from_numpy(regions.boxes.copy()), torch.zeros(len(regions), dtype=torch.long), scores,
        torch.zeros(len(regions), 1, 4), torch.tensor([[regions.height, regions.width]]), torch.ones(1, 2),
        inclusive=True), rule)


def sure(regions):
    """Which boxes no stored box of at least their confidence overlaps by more than 0.3, pixels counted inclusively."""
    near = iou(regions.boxes + np.array([0, 0, 1, 1], np.float32), regions.boxes + np.array([0, 0, 1, 1], np.float32))
    np.fill_diagonal(near, 0)
    return ~((near > 0.3) & (regions.class_scores[None] >= regions.class_scores[:, None])).any(1)


def test_sure_boxes_come_in_the_stored_order_with_the_stored_ids(photos):
    compared = 0
    for key, regions in photos.items():
        if key == IN_PROPOSAL_ORDER:
            continue
        chosen, known = apply(regions, FIXED), sure(regions)
        rows = chosen.rows.numpy()
        assert sorted(rows) == list(range(36))
        assert [row for row in rows if known[row]] == list(np.flatnonzero(known))
        np.testing.assert_array_equal(chosen.classes, regions.classes[rows])
        np.testing.assert_array_equal(chosen.scores, regions.class_scores[rows])
        compared += known.sum()
    assert compared > 140  # of 324


def test_no_box_comes_before_a_sure_one_that_is_more_confident(photos):
    for key, regions in photos.items():
        if key != IN_PROPOSAL_ORDER:
            best_after = np.maximum.accumulate(np.where(sure(regions), regions.class_scores, 0)[::-1])[::-1]
            assert (regions.class_scores >= best_after).all()


def test_an_image_of_which_36_boxes_reach_the_threshold_keeps_the_order_of_proposals(photos):
    regions = photos[IN_PROPOSAL_ORDER]
    assert (regions.class_scores >= 0.2).all() and (np.diff(regions.class_scores) > 0).sum() > 9
    # Nothing stored was suppressed in the class in which it reached 0.2, which need not be the stored one.
    unsuppressed = replace(FIXED, rungs=(1.0,))
    assert apply(regions, unsuppressed).rows.tolist() == list(range(36))
    # One box fewer at 0.2, and the rule sorts.
    fewer = replace(regions, class_scores=np.where(np.arange(36) == 3, 0.1, regions.class_scores).astype(np.float32))
    scores = apply(fewer, unsuppressed).scores
    assert (scores.diff() <= 0).all()


def test_more_boxes_than_the_most_are_cut_to_the_best(photos):
    for regions in photos.values():
        rows = apply(regions, replace(FIXED, boxes=(1, 5), rungs=(1.0,))).rows.tolist()
        assert rows == np.argsort(-regions.class_scores, kind="stable")[:5].tolist()
