import numpy as np
import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import MultiScaleRoIAlign, box_iou

from features import weights
from features.boxes import clip
from features.detectors import DetectorOptions, load_detector
from features.detectors.torchvision_frcnn import parse_weights
from features.errors import HeedError

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"
RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 256, (96, 128, 3), dtype=np.uint8)
TALL = RNG.integers(0, 256, (150, 100, 3), dtype=np.uint8)


def small_detector(**options):
    """The small network with random weights, its predictor and proposals stirred so that scores and boxes differ."""
    with pytest.warns(UserWarning, match="RANDOM"):
        detector = load_detector("torchvision", DetectorOptions(weights=f"{SMALL}=random", device="cpu", **options))
    generator = torch.Generator().manual_seed(1)
    predictor = detector.model.roi_heads.box_predictor
    rpn = detector.model.rpn.head
    with torch.no_grad():
        for parameter, scale in [(predictor.cls_score.weight, 4.0), (predictor.bbox_pred.weight, 2.0),
                                 (rpn.cls_logits.weight, 0.1), (rpn.bbox_pred.weight, 0.02)]:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    detector.model.transform.min_size = (128,)
    return detector


@pytest.fixture(scope="module")
def detector():
    return small_detector(boxes=(5, 20))


def as_input(image):
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


@torch.inference_mode()
def by_torchvision(model, image, boxes):
    """Box head features of boxes in an image's pixels, by torchvision's own transform, pooling and head."""
    transformed, _ = model.transform([as_input(image)])
    maps = model.backbone(transformed.tensors)
    scaled = resize_boxes(torch.from_numpy(boxes), image.shape[:2], transformed.image_sizes[0])
    pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    return model.roi_heads.box_head(pool(maps, [scaled], [tuple(transformed.tensors.shape[2:])])).numpy()


@torch.inference_mode()
def test_scores_and_boxes_of_each_proposal_are_torchvisions(detector):
    model = detector.model
    transformed, _ = model.transform([as_input(WIDE)])
    maps = model.backbone(transformed.tensors)
    proposals, _ = model.rpn(ImageList(transformed.tensors, transformed.image_sizes), maps)
    pooled = model.roi_heads.box_head(model.roi_heads.box_roi_pool(maps, proposals, transformed.image_sizes))
    boxes, scores = detector.classify(pooled, proposals[0])
    heads = model.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.0, 1.0, 10**6
    all_boxes, all_scores, labels = heads.postprocess_detections(
        *heads.box_predictor(pooled), proposals, transformed.image_sizes)
    # With nothing suppressed, torchvision gives every class of every proposal: ours is each proposal's best of them.
    height, width = transformed.image_sizes[0]
    boxes = clip(boxes, width, height)
    solid = ((boxes[:, 2:] - boxes[:, :2]) >= 1e-2).all(1)
    assert solid.sum() > 50
    for box, each in zip(boxes[solid], scores[solid], strict=True):
        same = (all_scores[0] == each.max()) & (labels[0] == each.argmax() + 1)
        assert torch.isclose(all_boxes[0][same], box, atol=1e-3).all(1).any()


@torch.inference_mode()
def test_confident_detections_are_torchvisions():
    """Where a proposal has one class of note, the two rules coincide: same boxes, classes and scores."""
    detector = small_detector(boxes=(0, 1000), score_threshold=0.5, nms=0.4)
    heads = detector.model.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.5, 0.4, 1000
    expected = detector.model([as_input(WIDE)])[0]
    assert len(expected["boxes"]) > 3
    found = detector.detect([WIDE])[0].checked()
    order = np.argsort(-found.class_scores)
    np.testing.assert_allclose(found.class_scores[order], expected["scores"], atol=1e-5)
    np.testing.assert_array_equal(found.classes[order] + 1, expected["labels"])
    np.testing.assert_allclose(found.boxes[order], expected["boxes"], atol=1e-3)


def test_features_are_the_box_heads_of_the_regions_own_boxes(detector):
    for image in (WIDE, TALL):
        found = detector.detect([image])[0].checked()
        assert 5 <= len(found) <= 20
        assert found.features.shape == (len(found), detector.dim)
        expected = by_torchvision(detector.model, image, found.boxes)
        np.testing.assert_allclose(found.features, expected, atol=1e-3 * np.abs(expected).max())


def test_given_boxes_are_pooled_as_they_are_in_their_order(detector):
    boxes = np.array([[10, 20, 90, 80], [0, 0, 128, 96], [50, 50, 60, 70]], np.float32)
    found = detector.detect([TALL, WIDE], [None, boxes])[1].checked()
    np.testing.assert_array_equal(found.boxes, boxes)
    expected = by_torchvision(detector.model, WIDE, boxes)
    np.testing.assert_allclose(found.features, expected, atol=1e-3 * np.abs(expected).max())
    reversed_too = detector.detect([WIDE], [boxes[::-1]])[0]
    np.testing.assert_allclose(reversed_too.features[::-1], found.features, atol=1e-4)
    np.testing.assert_array_equal(reversed_too.classes[::-1], found.classes)


def test_giving_a_detectors_boxes_back_gives_the_same_features(detector):
    found = detector.detect([TALL])[0]
    again = detector.detect([TALL], [found.boxes])[0]
    np.testing.assert_array_equal(again.boxes, found.boxes)
    np.testing.assert_allclose(again.features, found.features, atol=1e-3 * np.abs(found.features).max())


def test_companions_in_a_batch_change_nothing(detector):
    together = detector.detect([WIDE, TALL, WIDE[:, ::-1]])
    for image, region in zip([WIDE, TALL, WIDE[:, ::-1]], together, strict=True):
        alone = detector.detect([image])[0]
        np.testing.assert_allclose(region.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(region.features, alone.features, atol=1e-3 * np.abs(alone.features).max())
        np.testing.assert_array_equal(region.classes, alone.classes)


def test_low_scores_still_fill_an_image_to_the_least_number():
    detector = small_detector(boxes=(7, 9), score_threshold=1.0)
    found = detector.detect([WIDE])[0].checked()
    assert len(found) == 7
    assert len(small_detector(boxes=(0, 9), score_threshold=1.0).detect([WIDE])[0]) == 0


def test_no_given_boxes_no_images_and_odd_shapes(detector):
    empty = detector.detect([WIDE], [np.zeros((0, 4))])[0].checked()
    assert empty.features.shape == (0, detector.dim)
    assert detector.detect([]) == []
    for shape in [(1, 1, 3), (1, 400, 3), (300, 2, 3)]:
        found = detector.detect([np.full(shape, 200, np.uint8)])[0].checked()
        assert (found.height, found.width) == shape[:2]
    with pytest.raises(HeedError, match="given box 0"):
        detector.detect([WIDE], [np.array([[500, 0, 600, 9]])])


@torch.inference_mode()
def test_grid_cells_tile_the_image_and_carry_the_bodys_last_map():
    detector = small_detector(mode="grid")
    found = detector.detect([TALL])[0].checked()
    transformed, _ = detector.model.transform([as_input(TALL)])
    cells = list(detector.model.backbone.body(transformed.tensors).values())[-1][0]
    height, width = transformed.image_sizes[0]
    rows, columns = -(-height // 32), -(-width // 32)
    assert found.features.shape == (rows * columns, detector.dim)
    expected = cells[:, :rows, :columns].flatten(1).T.numpy()
    np.testing.assert_allclose(found.features, expected, atol=1e-4 * np.abs(expected).max())
    assert (found.classes == -1).all()
    boxes = torch.from_numpy(found.boxes)
    covered = ((boxes[:, 2:] - boxes[:, :2]).prod(1)).sum()
    assert covered == pytest.approx(TALL.shape[0] * TALL.shape[1], rel=1e-5)
    assert (box_iou(boxes, boxes) - torch.eye(len(boxes))).max() < 1e-5


def test_identity_tells_weights_and_options_apart(detector):
    first = detector.describe()
    assert first["architecture"] == SMALL
    assert first["classes"][0] == "person"
    assert len(first["classes"]) == 90
    assert "torch" in first["versions"]
    assert small_detector(boxes=(5, 20)).describe() == first
    assert small_detector(boxes=(5, 21)).describe()["options"] != first["options"]


def test_weights_by_path_are_those_weights(tmp_path, detector):
    path = tmp_path / "mine=yours.pth"
    torch.save(detector.model.state_dict(), path)
    read = load_detector("torchvision", DetectorOptions(weights=f"{SMALL}={path}", boxes=(5, 20), device="cpu"))
    assert read.describe()["weights"] == weights.digest(detector.model.state_dict())
    read.model.transform.min_size = (128,)
    np.testing.assert_array_equal(read.detect([WIDE])[0].features, detector.detect([WIDE])[0].features)
    with pytest.raises(HeedError, match="do not fit"):
        load_detector("torchvision", DetectorOptions(weights=str(path), device="cpu"))


def test_weights_are_spelt_by_name_path_or_both():
    assert parse_weights("default") == ("fasterrcnn_resnet50_fpn_v2", "COCO_V1")
    assert parse_weights(SMALL) == (SMALL, "COCO_V1")
    assert parse_weights(f"{SMALL}=random") == (SMALL, "random")
    assert parse_weights("random") == ("fasterrcnn_resnet50_fpn_v2", "random")
    assert parse_weights(f"{SMALL}=a=b.pth") == (SMALL, "a=b.pth")
    with pytest.raises(HeedError, match="no torchvision weights 'faster'"):
        parse_weights("faster")


def test_published_weights_without_a_network_are_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(HeedError, match=r"fasterrcnn_resnet50_fpn_v2_coco-dd69338a\.pth .*offline.*--weights PATH/"):
        load_detector("torchvision", DetectorOptions(device="cpu"))
