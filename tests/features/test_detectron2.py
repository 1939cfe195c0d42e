"""detectron2 as a backend. Most of this runs only where detectron2 is installed (docs/detectors.md says how)."""

import itertools
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from features.detectors import DetectorOptions, load_detector
from features.errors import HeedError
from tests.features.c4_weights import random_photo, random_tensors

try:
    import detectron2
except ImportError:
    detectron2 = None
needs_detectron2 = pytest.mark.skipif(detectron2 is None, reason="detectron2 is not installed")
GOLDEN = Path(__file__).parent / "goldens" / "bottom_up_py-bottom-up-attention.npz"
PHOTOS = [random_photo(150, 230, 3), random_photo(90, 200, 4), random_photo(150, 230, 5)]
# configs/VG-Detection/faster_rcnn_R_101_C4_attr_caffemaxpool.yaml of py-bottom-up-attention, made narrow.
BOTTOM_UP = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  CAFFE_MAXPOOL: True
  PIXEL_MEAN: [102.9801, 115.9465, 122.7717]
  MASK_ON: False
  RESNETS: {DEPTH: 50, WIDTH_PER_GROUP: 4, STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 16}
  PROPOSAL_GENERATOR: {HID_CHANNELS: 16}
  ANCHOR_GENERATOR: {SIZES: [[64, 128, 256, 512]]}
  RPN: {PRE_NMS_TOPK_TEST: 6000, POST_NMS_TOPK_TEST: 60}
  ROI_HEADS: {NAME: Res5ROIHeads, NUM_CLASSES: 20}
  ROI_BOX_HEAD: {RES5HALVE: False, POOLER_TYPE: ROIPool, ATTR: True, NUM_ATTRS: 9}
INPUT: {MIN_SIZE_TEST: 128, MAX_SIZE_TEST: 200}
VERSION: 2
"""


def test_without_detectron2_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(HeedError, match=r"detectron2 is not installed; .*--detector bottom-up"):
        load_detector("detectron2", DetectorOptions(config="some.yaml"))


def zoo(name, folder, **changes):
    """A configuration of the model zoo made narrow, as a file, and random weights for it."""
    from detectron2 import model_zoo
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(name))
    settings = [(key.replace("__", "."), value) for key, value in changes.items()]
    cfg.merge_from_list([
        "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.WIDTH_PER_GROUP", 4,
        "MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 16, "MODEL.FPN.OUT_CHANNELS", 16,
        "MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.RPN.POST_NMS_TOPK_TEST", 60, "INPUT.MIN_SIZE_TEST", 128,
        "INPUT.MAX_SIZE_TEST", 200, *itertools.chain(*settings)])
    path = folder / "config.yaml"
    path.write_text(cfg.dump())
    model = build_model(cfg).eval()
    tensors = random_tensors({key: tuple(value.shape) for key, value in model.state_dict().items()}, 2)
    torch.save({"model": tensors}, folder / "model.pth")
    return cfg, path, folder / "model.pth"


def predictor(cfg, weights):
    from detectron2.engine import DefaultPredictor

    made = DefaultPredictor(cfg)
    made.model.load_state_dict(torch.load(weights)["model"])
    return made


def options(path, weights, **more):
    return DetectorOptions(weights=str(weights), config=str(path), device="cpu", **more)


def pooled(model, maps, boxes):
    """What the box head makes of boxes, by detectron2's own parts."""
    heads = model.roi_heads
    if hasattr(heads, "res5"):
        return heads._shared_roi_transform([maps[name] for name in heads.in_features], boxes).mean((2, 3))
    return heads.box_head(heads.box_pooler([maps[name] for name in heads.box_in_features], boxes))


@needs_detectron2
@pytest.mark.parametrize("name", ["COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
                                  "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml",
                                  "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"])
def test_boxes_scores_and_features_are_the_default_predictors(name, tmp_path):
    cfg, path, weights = zoo(name, tmp_path)
    reference = predictor(cfg, weights)
    found = load_detector("detectron2", options(path, weights)).detect(PHOTOS)
    for photo, regions in zip(PHOTOS, found, strict=True):
        regions.checked()
        expected = reference(photo[:, :, ::-1])["instances"]
        assert len(regions) == len(expected) > 10
        np.testing.assert_array_equal(regions.classes, expected.pred_classes)
        np.testing.assert_allclose(regions.boxes, expected.pred_boxes.tensor, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(regions.class_scores, expected.scores, rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            seen = reference.aug.get_transform(photo[:, :, ::-1]).apply_image(photo[:, :, ::-1].copy())
            images = reference.model.preprocess_image(
                [{"image": torch.as_tensor(seen.astype("float32").transpose(2, 0, 1))}])
            # In a batch a box may differ in its last bit, which can change how many samples detectron2 takes of it.
            boxes = type(expected.pred_boxes)(torch.from_numpy(regions.boxes.copy()))
            boxes.scale(seen.shape[1] / photo.shape[1], seen.shape[0] / photo.shape[0])
            features = pooled(reference.model, reference.model.backbone(images.tensor), [boxes])
        np.testing.assert_allclose(regions.features, features, rtol=1e-4, atol=1e-4)


@needs_detectron2
def test_given_boxes_are_pooled_in_their_order_and_options_replace_the_configurations_numbers(tmp_path):
    _, path, weights = zoo("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", tmp_path)
    detector = load_detector("detectron2", options(path, weights, boxes=(0, 7), nms=0.4, distributions=True))
    found = detector.detect(PHOTOS[:1])[0].checked()
    assert len(found) == 7 and found.class_probabilities.shape == (7, 81)
    again = detector.detect(PHOTOS[1::-1], [None, found.boxes[::-1]])[1].checked()
    np.testing.assert_array_equal(again.boxes, found.boxes[::-1])
    np.testing.assert_allclose(again.features, found.features[::-1], atol=1e-3)
    np.testing.assert_array_equal(again.classes, again.class_probabilities[:, :80].argmax(1))


@needs_detectron2
def test_detectron2_with_the_registered_modules_is_the_published_fork(tmp_path):
    """The golden of `test_bottom_up`, this time by detectron2's own network with the modules heed registers."""
    with np.load(GOLDEN) as file:
        made = dict(file)
    tensors = random_tensors(json.loads(str(made["shapes"])), int(made["seed"]), float(made["damp"]))
    tensors["roi_heads.box_predictor.cls_score.bias"] = torch.from_numpy(made["bias"])
    (tmp_path / "vg.yaml").write_text(BOTTOM_UP)
    (tmp_path / "vg.pkl").write_bytes(pickle.dumps(
        {"model": {key: value.numpy() for key, value in tensors.items()}, "__author__": "somebody"}))
    detector = load_detector("detectron2", options(tmp_path / "vg.yaml", tmp_path / "vg.pkl", preset="detectron2",
                                                   boxes=(12, 12)))
    found = detector.detect(PHOTOS[:1])[0].checked()
    for mine, theirs in [(found.boxes, "boxes"), (found.class_scores, "scores"), (found.features, "features"),
                         (found.attribute_scores[:, 0], "attribute_scores")]:
        np.testing.assert_allclose(mine, made[f"0_{theirs}"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.classes, made["0_classes"])
    np.testing.assert_array_equal(found.attributes[:, 0], made["0_attributes"])
    # The same weights without detectron2 at all, by the rule that compares unregressed proposals.
    from dataclasses import replace

    from features.detectors.bottom_up import as_detector
    from features.detectors.c4_layouts import read_checkpoint
    from features.detectors.c4_network import C4Network
    from features.weights import load_into

    own = read_checkpoint(tmp_path / "vg.pkl")
    own = replace(own, config=replace(own.config, side=128, longest=200, after=60))
    network = C4Network(own.config)
    load_into(network, own.tensors, "the test's network")
    alone = as_detector(network, own, DetectorOptions(preset="caffe", boxes=(5, 40), device="cpu")).detect(PHOTOS)
    beside = load_detector("detectron2", options(tmp_path / "vg.yaml", tmp_path / "vg.pkl", preset="caffe",
                                                 boxes=(5, 40))).detect(PHOTOS)
    for first, second in zip(alone, beside, strict=True):
        np.testing.assert_allclose(first.boxes, second.boxes, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(first.features, second.features, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(first.attributes, second.attributes)


@needs_detectron2
def test_a_detector_without_region_heads_gives_the_mean_of_its_pyramid(tmp_path):
    from torchvision.ops import roi_align

    cfg, path, weights = zoo("COCO-Detection/retinanet_R_50_FPN_1x.yaml", tmp_path,
                             MODEL__RETINANET__SCORE_THRESH_TEST=0.01)
    detector = load_detector("detectron2", options(path, weights))
    boxes = np.array([[10, 10, 30, 25]], np.float32)
    found = detector.detect(PHOTOS[:1], [boxes])[0].checked()
    assert found.features.shape == (1, 16) and found.classes.tolist() == [-1]
    with torch.no_grad():
        one = detector._input(PHOTOS[0])
        maps = detector.model.backbone(detector.model.preprocess_image([one]).tensor)
        scale = torch.tensor([one["image"].shape[2] / 230, one["image"].shape[1] / 150] * 2)
        # A box of 17 x 13 pixels belongs to the finest level, of stride 8.
        cells = roi_align(maps["p3"], [torch.from_numpy(boxes) * scale], 7, 1 / 8, aligned=True)
    np.testing.assert_allclose(found.features, cells.mean((2, 3)), rtol=1e-4, atol=1e-5)
    expected = predictor(cfg, weights)(PHOTOS[0][:, :, ::-1])["instances"]
    np.testing.assert_allclose(detector.detect(PHOTOS[:1])[0].boxes, expected.pred_boxes.tensor, atol=1e-3)
    with pytest.raises(HeedError, match="preset 'caffe' needs a Faster or Mask R-CNN"):
        load_detector("detectron2", options(path, weights, preset="caffe"))


@needs_detectron2
@pytest.mark.parametrize("name", ["COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
                                  "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"])
def test_grid_cells_tile_the_image(name, tmp_path):
    _, path, weights = zoo(name, tmp_path)
    found = load_detector("detectron2", options(path, weights, mode="grid")).detect(PHOTOS[:2])
    for photo, regions in zip(PHOTOS, found, strict=False):
        regions.checked()
        area = (regions.boxes[:, 2:] - regions.boxes[:, :2]).prod(1).sum()
        assert area == pytest.approx(photo.shape[0] * photo.shape[1], rel=1e-4)
        assert regions.features.shape[1] == 128


@needs_detectron2
def test_a_cascade_is_its_own_predictor_too(tmp_path):
    cfg, path, weights = zoo("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", tmp_path)
    expected = predictor(cfg, weights)(PHOTOS[0][:, :, ::-1])["instances"]
    found = load_detector("detectron2", options(path, weights)).detect(PHOTOS[:1])[0].checked()
    np.testing.assert_allclose(found.boxes, expected.pred_boxes.tensor, rtol=1e-4, atol=1e-3)
    assert found.features.shape[1] == 32


@needs_detectron2
def test_a_python_configuration_of_the_zoo_builds():
    with pytest.warns(UserWarning, match="RANDOM"):
        detector = load_detector("detectron2", DetectorOptions(
            weights="random", config="COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.py", device="cpu"))
    said = detector.describe()
    assert (said["dim"], said["classes"][0], len(said["classes"])) == (2048, "person", 80)


@needs_detectron2
def test_what_cannot_be_built_is_a_sentence(tmp_path):
    with pytest.raises(HeedError, match="needs --config"):
        load_detector("detectron2", DetectorOptions())
    with pytest.raises(HeedError, match="no configuration 'nothing'"):
        load_detector("detectron2", DetectorOptions(config="nothing"))
    (tmp_path / "code.yaml").write_text(f"A: !!python/object/apply:os.mkdir ['{tmp_path / 'sprung'}']\n")
    with pytest.raises(HeedError, match="could not determine a constructor"):
        load_detector("detectron2", options(tmp_path / "code.yaml", "random"))
    assert not (tmp_path / "sprung").exists()
    (tmp_path / "odd.yaml").write_text("MODEL: {NO_SUCH: 1}\nVERSION: 2\n")
    with pytest.raises(HeedError, match=r"detectron2 cannot build .*NO_SUCH"):
        load_detector("detectron2", options(tmp_path / "odd.yaml", "random"))
    _, path, weights = zoo("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", tmp_path)
    torch.save({"model": {**torch.load(weights)["model"], "more": torch.ones(1)}}, weights)
    with pytest.raises(HeedError, match="'more' is not part"):
        load_detector("detectron2", options(path, weights))
