import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from features.boxes import ENCODINGS, area, check_given, clip, encode_uniter, encode_vilbert, iou
from features.errors import HeedError


def boxes_of(draw_max=20):
    corners = hnp.arrays(np.float32, st.tuples(st.integers(1, draw_max), st.just(4)),
                         elements=st.floats(0, 100, width=32))
    return corners.map(lambda c: np.concatenate([np.minimum(c[:, :2], c[:, 2:]), np.maximum(c[:, :2], c[:, 2:])], 1))


def pixels(box):
    """The set of unit squares of a box with whole-number corners: overlap by counting, with no formula."""
    x1, y1, x2, y2 = map(int, box)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


def test_iou_counts_shared_and_joint_pixels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (2, 9, 2, 2))
    first, second = (np.concatenate([c.min(1), c.max(1)], 1).astype(np.float32) for c in corners)
    counted = np.zeros((9, 9))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            joint = len(pixels(a) | pixels(b))
            counted[i, j] = len(pixels(a) & pixels(b)) / joint if joint else 0.0
    np.testing.assert_allclose(iou(first, second), counted, atol=1e-6)
    assert area(first).tolist() == [len(pixels(a)) for a in first]


@given(boxes_of(), boxes_of())
def test_iou_is_symmetric_bounded_and_the_same_in_torch(first, second):
    overlap = iou(first, second)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-6)).all()
    np.testing.assert_array_equal(overlap, iou(second, first).T)
    np.testing.assert_allclose(iou(torch.from_numpy(first), torch.from_numpy(second)).numpy(), overlap, atol=1e-6)


@given(boxes_of())
def test_clipping_is_idempotent_and_the_same_in_torch(boxes):
    clipped = clip(boxes, 40, 30)
    np.testing.assert_array_equal(clip(clipped, 40, 30), clipped)
    np.testing.assert_array_equal(clip(torch.from_numpy(boxes), 40, 30).numpy(), clipped)
    assert clipped.dtype == np.float32


def test_encodings_of_one_box_by_hand():
    box = np.array([[10, 20, 60, 100]])
    by_hand = [0.05, 0.2, 0.3, 1.0]  # of an image of 200 x 100: w/W = 0.25, h/H = 0.8, share of the area 0.2
    expected = {4: by_hand, 5: [*by_hand, 0.2], 6: [*by_hand, 0.25, 0.8], 7: [*by_hand, 0.25, 0.8, 0.2]}
    for length, encode in ENCODINGS.items():
        encoded = encode(box, 200, 100)
        assert encoded.dtype == np.float32
        np.testing.assert_allclose(encoded, [expected[length]], rtol=1e-6)
        assert encode(np.zeros((0, 4)), 200, 100).shape == (0, length)


def test_the_whole_image_is_vilberts_global_box():
    np.testing.assert_array_equal(encode_vilbert(np.array([[0, 0, 31, 17]]), 31, 17), [[0, 0, 1, 1, 1]])


@given(boxes_of(), st.floats(0.5, 8))
def test_encodings_do_not_depend_on_the_images_scale(boxes, scale):
    np.testing.assert_allclose(encode_uniter(boxes * scale, 100 * scale, 100 * scale), encode_uniter(boxes, 100, 100),
                               atol=1e-5)


def test_given_boxes_are_clipped_and_may_be_none():
    np.testing.assert_array_equal(check_given([[-3, 2, 50, 9]], 40, 30), [[0, 2, 40, 9]])
    assert check_given(np.zeros((0, 4)), 40, 30).shape == (0, 4)
    assert check_given([], 40, 30).shape == (0, 4)


@pytest.mark.parametrize("boxes", [[[1, 2, 3]], [[5, 5, 5, 9]], [[9, 5, 5, 9]], [[50, 5, 60, 9]], [[np.nan, 0, 5, 5]]])
def test_given_boxes_that_cover_nothing_are_refused(boxes):
    with pytest.raises(HeedError, match="given box"):
        check_given(boxes, 40, 30)
