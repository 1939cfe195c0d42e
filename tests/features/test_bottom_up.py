"""The bottom-up detector against what the published repositories' own code gave for the same weights and picture.

The goldens were made by running airsplay/py-bottom-up-attention@85ec9b7, MILVLG/bottom-up-attention.pytorch@4dbce86 on
detectron2 0.2.1, and the frcnn-vg port, with `c4_weights.random_tensors` in narrow networks of their full depth or of
ResNet-50's. Class biases are the goldens' own: they centre the scores, so that many classes win somewhere.
"""

import functools
import gzip
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from features.detectors import DetectorOptions, load_detector
from features.detectors.bottom_up import BottomUpDetector, as_detector, random_network
from features.detectors.c4_layouts import ANCHORS, LAYOUTS, Checkpoint, measured, read_checkpoint, understood
from features.detectors.c4_network import C4Network
from features.detectors.c4_proposals import cell_anchors
from features.detectors.presets import RULES, Candidates, select, with_options
from features.detectors.visual_genome import attributes, objects
from features.errors import HeedError
from features.weights import load_into
from tests.features.c4_weights import random_photo, random_tensors

GOLDENS = Path(__file__).parent / "goldens"
BIAS = "roi_heads.box_predictor.cls_score.bias"
NAMES = ["py-bottom-up-attention", "frcnn-vg", "caffe", "caffe-r152", "milvlg-d2", "milvlg-d2-x152"]


@functools.cache
def golden(name):
    with np.load(GOLDENS / f"bottom_up_{name}.npz") as file:
        return dict(file)


@functools.cache
def weights_of(name):
    made = golden(name)
    tensors = random_tensors(json.loads(str(made["shapes"])), int(made["seed"]), float(made["damp"]))
    return tensors | {BIAS: torch.from_numpy(made["bias"])}


def saved(name, folder):
    """A checkpoint file as the repository wrote it, and the golden its weights are for."""
    made, tensors = golden(name), dict(weights_of(name))
    if name == "py-bottom-up-attention":
        path = folder / "faster_rcnn_from_caffe_attr.pkl"
        arrays = {key: value.numpy() for key, value in tensors.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol=2))
    elif name == "frcnn-vg":
        path = folder / "pytorch_model.bin"
        torch.save(tensors | {ANCHORS: cell_anchors(LAYOUTS[name].config)}, path)
        (folder / "config.yaml").write_text(
            "INPUT: {FORMAT: BGR, MIN_SIZE_TEST: 128, MAX_SIZE_TEST: 200}\nRPN: {POST_NMS_TOPK_TEST: 60}\n"
            "roi_heads: {nms_thresh_test: [0.3, 0.6]}\nmin_detections: 12\nmax_detections: 14\n")
    else:
        path = folder / "bua.pth"
        tensors |= {ANCHORS: torch.from_numpy(made["anchors"])} if "anchors" in made else {}
        if name.startswith("milvlg-d2"):
            tensors |= {"pixel_mean": torch.tensor([103.53, 116.28, 123.675])[:, None, None],
                        "pixel_std": torch.ones(3, 1, 1)}
        torch.save({"model": tensors, "iteration": 7}, path)
    return path, made


def small(name, folder, **options):
    """The detector of a saved checkpoint, with the input size and the proposals of its golden."""
    path, made = saved(name, folder)
    checkpoint = read_checkpoint(path)
    config = replace(checkpoint.config, side=int(made["side"]), longest=int(made["longest"]), after=60)
    checkpoint = replace(checkpoint, config=config, rule={})
    network = C4Network(config)
    load_into(network, checkpoint.tensors, "the test's network")
    return as_detector(network, checkpoint, DetectorOptions(device="cpu", distributions=True, **options)), made


@pytest.mark.parametrize("name", NAMES)
def test_regions_are_those_of_the_published_code(name, tmp_path):
    detector, made = small(name, tmp_path)
    photo = random_photo(*made["photo"][:2], int(made["photo"][2]))
    for run in range(3):
        if f"{run}_boxes" not in made:
            break
        expected = {key.removeprefix(f"{run}_"): value for key, value in made.items() if key.startswith(f"{run}_")}
        detector.rule = replace(detector.rule, boxes=tuple(expected["limits"].tolist()))
        found = detector.detect([photo])[0].checked()
        assert len(found) == len(expected["boxes"]) > 10
        np.testing.assert_array_equal(found.classes, expected["classes"])
        np.testing.assert_array_equal(found.attributes[:, 0], expected["attributes"])
        assert len(set(found.classes)) > 1
        for mine, theirs in [(found.boxes, "boxes"), (found.class_scores, "scores"), (found.features, "features"),
                             (found.attribute_scores[:, 0], "attribute_scores"),
                             (found.class_probabilities, "probabilities")]:
            if len(expected[theirs]):
                np.testing.assert_allclose(mine, expected[theirs], rtol=1e-4, atol=1e-4)
    assert run > 0


def published_keys():
    with gzip.open(GOLDENS / "bottom_up_keys.json.gz") as file:
        return json.load(file)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("name", sorted(published_keys()))
def test_full_size_checkpoints_fit_with_no_parameter_missing_or_left_over(name):
    """The names and shapes are those of the repositories' own modules; numbers are left out, as 60 million are many."""
    tensors = {key: torch.empty(shape, device="meta") for key, shape in published_keys()[name].items()}
    if "pixel_mean" in tensors:
        tensors |= {"pixel_mean": torch.tensor([103.53, 116.28, 123.675]).reshape(3, 1, 1)}
    suffix = {"py-bottom-up-attention": ".pkl", "frcnn-vg": ".bin"}.get(name, ".pth")
    checkpoint = understood(tensors, Path("weights" + suffix))
    assert name.startswith(checkpoint.layout)
    config = checkpoint.config
    assert (config.classes, config.attributes, config.dim) == (1600, 400, 2048)
    assert config.blocks == {"50": (3, 4, 6, 3), "52": (3, 8, 36, 3)}.get(name[-2:], (3, 4, 23, 3))
    with torch.device("meta"):
        network = C4Network(config)
    load_into(network, checkpoint.tensors, name)
    left_out = {key for key in network.state_dict() if key not in checkpoint.tensors}
    assert all(key.endswith("num_batches_tracked") for key in left_out)


def test_published_variants_are_what_the_tensors_and_layouts_say():
    sizes = published_keys()
    for name, layout in LAYOUTS.items():
        key = {"milvlg-d2": "milvlg-d2-r101"}.get(name, name)
        shapes = {k: torch.empty(shape, device="meta") for k, shape in sizes[key].items()}
        assert measured(layout.config, layout.rename(shapes)) == layout.config
    resnext = understood({k: torch.empty(shape, device="meta") for k, shape in sizes["milvlg-d2-x152"].items()
                          if not k.startswith("pixel")}, Path("x.pth")).config
    assert (resnext.groups, resnext.cells, resnext.stride_in_1x1) == (32, 7, False)


def test_caffes_anchors_are_those_that_its_generator_prints():
    """rbgirshick/py-faster-rcnn, lib/rpn/generate_anchors.py: nine anchors for scales 8, 16 and 32."""
    expected = [[-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199], [-56, -56, 71, 71],
                [-120, -120, 135, 135], [-248, -248, 263, 263], [-36, -80, 51, 95], [-80, -168, 95, 183],
                [-168, -344, 183, 359]]
    found = cell_anchors(replace(LAYOUTS["caffe"].config, anchor_sides=(128, 256, 512)))
    assert found.tolist() == expected


@pytest.fixture(scope="module")
def caffe(tmp_path_factory):
    return small("caffe", tmp_path_factory.mktemp("caffe"), boxes=(3, 30))[0]


PHOTOS = [random_photo(150, 230, 3), random_photo(90, 200, 4), random_photo(150, 230, 5), random_photo(300, 120, 6)]


def test_companions_in_a_batch_change_nothing(caffe):
    together = caffe.detect(PHOTOS)
    for photo, region in zip(PHOTOS, together, strict=True):
        alone = caffe.detect([photo])[0].checked()
        np.testing.assert_allclose(region.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(region.features, alone.features, atol=1e-4)
        np.testing.assert_array_equal(region.classes, alone.classes)
        assert (region.height, region.width) == photo.shape[:2]


def test_given_boxes_are_pooled_where_they_are_and_unregressed_ones_come_back_the_same(caffe):
    found = caffe.detect([PHOTOS[0]])[0]
    again = caffe.detect([PHOTOS[1], PHOTOS[0]], [None, found.boxes[::-1]])[1].checked()
    np.testing.assert_array_equal(again.boxes, found.boxes[::-1])
    np.testing.assert_allclose(again.features, found.features[::-1], atol=1e-4)
    np.testing.assert_allclose(again.class_probabilities, found.class_probabilities[::-1], atol=1e-4)
    np.testing.assert_array_equal(again.attributes, found.attributes[::-1])
    empty = caffe.detect([PHOTOS[0]], [np.zeros((0, 4))])[0].checked()
    assert empty.features.shape == (0, caffe.dim) and empty.class_probabilities.shape == (0, 21)


def test_odd_shapes_and_plain_pictures_give_regions(caffe):
    for shape in [(1, 1, 3), (2, 90, 3), (60, 4, 3)]:
        found = caffe.detect([np.full(shape, 90, np.uint8)])[0].checked()
        assert (found.height, found.width) == shape[:2]
    assert caffe.detect([]) == []


@torch.inference_mode()
def test_grid_cells_tile_the_image_with_the_fifth_stages_map(tmp_path):
    detector, _ = small("caffe", tmp_path, mode="grid")
    found = detector.detect([PHOTOS[0]])[0].checked()
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1).sum()
    assert area == pytest.approx(150 * 230, rel=0.01)  # Caffe's resizing does not fill the last pixel
    assert (found.classes == -1).all() and found.class_probabilities is None and detector.attributes == 0


def test_identity_tells_rules_options_and_weights_apart(caffe, tmp_path):
    said = caffe.describe()
    assert said["architecture"] == "caffe" and said["options"]["preset"] == "caffe"
    assert said["options"]["boxes"] == (3, 30) and said["options"]["score_threshold"] == 0.2
    other, _ = small("caffe", tmp_path, boxes=(3, 30), preset="detectron2")
    assert other.describe()["rungs"] == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert other.describe()["weights"] == said["weights"]
    assert json.loads(json.dumps(said))["network"]["inclusive"] is True
    first, network = random_network(Checkpoint("caffe", caffe.config, {}))
    assert as_detector(network, first, DetectorOptions(device="cpu")).describe()["weights"] != said["weights"]


def test_anchors_that_a_file_brings_are_taken(tmp_path):
    """bottom-up-attention.pytorch's configuration asks for anchors of 4 to 32 pixels, which its files overwrite."""
    path, made = saved("caffe", tmp_path)
    assert made["anchors"][0].tolist() == [-38, -16, 53, 31]
    whole = torch.load(path)
    whole["model"][ANCHORS] = torch.from_numpy(made["anchors"]) / 16
    torch.save(whole, path)
    checkpoint = read_checkpoint(path)
    network = C4Network(checkpoint.config)
    load_into(network, checkpoint.tensors, "the test's network")
    small_anchors = as_detector(network, checkpoint, DetectorOptions(device="cpu"))
    assert small_anchors.cells[0].tolist() == [-38 / 16, -1, 53 / 16, 31 / 16]
    usual = load_detector("bottom-up", DetectorOptions(weights=str(saved("caffe", tmp_path)[0]), device="cpu"))
    assert usual.describe()["weights"] != small_anchors.describe()["weights"]


def test_frcnn_vgs_folder_brings_its_own_sizes_and_rule(tmp_path):
    saved("frcnn-vg", tmp_path)
    detector = load_detector("bottom-up", DetectorOptions(weights=str(tmp_path), device="cpu"))
    assert isinstance(detector, BottomUpDetector)
    assert (detector.config.side, detector.config.longest, detector.config.after) == (128, 200, 60)
    assert (detector.rule.boxes, detector.rule.rungs) == ((12, 14), (0.3, 0.6))
    made = golden("frcnn-vg")
    found = detector.detect([random_photo(150, 230, 3)])[0].checked()
    np.testing.assert_allclose(found.features, made["0_features"], atol=1e-4)


def test_a_config_yaml_with_code_is_refused(tmp_path):
    saved("frcnn-vg", tmp_path)
    (tmp_path / "config.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{tmp_path / 'sprung'}']\n")
    with pytest.raises(HeedError, match=r"config\.yaml' is no configuration"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_bottom_up_checkpoint_is_refused_with_the_files_that_are(tmp_path):
    torch.save({"conv.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(HeedError, match=r"not a bottom-up detector's; heed reads .*faster_rcnn_from_caffe_attr\.pkl"):
        load_detector("bottom-up", DetectorOptions(weights=str(tmp_path / "other.pth")))
    with pytest.raises(HeedError, match=r"cannot be downloaded .*bua-caffe-frcn-r101-k10-100\.pth"):
        load_detector("bottom-up", DetectorOptions())
    with pytest.raises(HeedError, match="no layout 'cafe'"):
        load_detector("bottom-up", DetectorOptions(weights="cafe=random"))
    path, _ = saved("caffe", tmp_path)
    whole = torch.load(path)
    del whole["model"]["roi_heads.res5.1.conv2.weight"]
    torch.save(whole, path)
    with pytest.raises(HeedError, match=r"'roi_heads\.res5\.1\.conv2\.weight' is missing"):
        load_detector("bottom-up", DetectorOptions(weights=str(path)))


def test_vocabularies_name_objects_and_attributes_or_count():
    names = objects(1600)
    assert (names[0], names[16], len(names)) == ("yolk", "stop sign", 1600)
    assert (attributes(400)[0], attributes(400)[4], objects(2)) == ("gray", "red", ["0", "1"])


def test_random_weights_are_loud_and_the_same_in_every_process(monkeypatch):
    tiny = replace(LAYOUTS["caffe"].config, blocks=(1, 1, 1, 1), stem=8, inner=4, outer=16, rpn=16, classes=20,
                   attributes=9, embedding=16, hidden=32, side=96, longest=160)
    monkeypatch.setitem(LAYOUTS, "tiny", replace(LAYOUTS["caffe"], config=tiny))
    made = []
    for seed in range(2):
        torch.manual_seed(seed)
        with pytest.warns(UserWarning, match="bottom-up detector runs with RANDOM weights"):
            made.append(load_detector("bottom-up", DetectorOptions(weights="tiny=random", boxes=(4, 9), device="cpu")))
    assert made[0].describe() == made[1].describe()
    found = made[0].detect([PHOTOS[0]])[0].checked()
    assert 4 <= len(found) <= 9 and 0.01 < found.features.std() < 100


def test_boxes_regressed_out_of_the_image_are_no_regions():
    found = Candidates(torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9], [2, 2, 8, 8]]), torch.tensor([0, 0, 1]),
                       torch.tensor([[0.9], [0.8], [0.7]]),
                       torch.tensor([[[-2.0, 0, 0, 0]], [[0, 0, 0, 0]], [[0, 3.0, 0, 0]]]), torch.full((2, 2), 10),
                       torch.ones(2, 2))
    for name in ("detectron2", "predictor"):
        chosen = select(found, RULES[name])
        assert (chosen.rows.tolist(), chosen.counts) == ([1], [1, 0])
    assert select(found, RULES["caffe"]).counts == [2, 1]  # which takes proposals as they are


def test_a_ladder_begins_where_nms_says():
    rule = with_options(RULES["detectron2"], DetectorOptions(nms=0.5, boxes=(36, 36)))
    assert (rule.rungs, rule.boxes) == ((0.5, 0.6, 0.7, 0.8, 0.9), (36, 36))
    assert with_options(RULES["detectron2"], DetectorOptions(nms=0.97)).rungs == (0.97,)
    assert with_options(RULES["caffe"], DetectorOptions(nms=0.5, score_threshold=0.1)).threshold == 0.1
