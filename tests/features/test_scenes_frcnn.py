from pathlib import Path

import numpy as np
import pytest
import torch

from features.boxes import iou
from features.detectors import DetectorOptions, load_detector
from features.detectors.scenes_frcnn import SHIPPED, fold_normalisation
from features.detectors.scenes_model import build
from features.errors import HeedError
from pipeline.scenes.draw import render
from pipeline.scenes.world import scene

SEED = 12345  # not the seed of the scenes that the shipped weights were trained on
SCENES = [scene(SEED, index) for index in range(24)]
IMAGES = [render(one, 160) for one in SCENES]


@pytest.fixture(scope="module")
def detector():
    return load_detector("scenes", DetectorOptions(boxes=(0, 24), device="cpu"))


@pytest.fixture(scope="module")
def found(detector):
    return [regions.checked() for regions in detector.detect(IMAGES)]


def test_shipped_weights_find_and_name_the_objects_of_scenes_never_seen(detector, found):
    names = detector.describe()
    kinds = list(names["attributes"])
    assert kinds == ["colour", "size", "texture"]
    covered, shapes, attributes = [], [], []
    for truth, regions in zip(SCENES, found, strict=True):
        overlap = iou(truth.boxes(160), regions.boxes)
        for item, row in zip(truth.objects, overlap, strict=True):
            best = int(row.argmax())
            covered.append(row[best] >= 0.5)
            shapes.append(names["classes"][regions.classes[best]] == item.shape)
            attributes.append([names["attributes"][kind][regions.attributes[best, place]] == item.attributes[kind]
                               for place, kind in enumerate(kinds)])
    assert np.mean(covered) >= 0.98
    assert np.mean(shapes) >= 0.95
    assert (np.mean(attributes, 0) >= [0.95, 0.9, 0.9]).all()


def test_few_regions_are_of_nothing(found):
    seen = [iou(truth.boxes(160), regions.boxes).max(0) for truth, regions in zip(SCENES, found, strict=True)]
    assert (np.concatenate(seen) < 0.5).mean() < 0.1


def test_features_of_an_object_tell_its_attributes_wherever_it_is(detector):
    """The same picture shifted by a stride's multiple gives the same features: nothing of position is in them."""
    image = np.full((160, 160, 3), 200, np.uint8)
    image[60:100, 50:90] = (200, 30, 30)
    moved = np.full_like(image, 200)
    moved[76:116, 66:106] = (200, 30, 30)
    here, there = detector.detect([image, moved], [np.array([[50, 60, 90, 100]]), np.array([[66, 76, 106, 116]])])
    np.testing.assert_allclose(here.features, there.features, atol=1e-3 * np.abs(here.features).max())


def test_features_are_of_the_boxes_that_come_with_them(detector, found):
    again = detector.detect(IMAGES, [regions.boxes for regions in found])
    for first, second in zip(found, again, strict=True):
        np.testing.assert_allclose(first.features, second.features, atol=1e-3 * np.abs(first.features).max())
        np.testing.assert_array_equal(first.attributes, second.attributes)


def test_at_least_and_at_most_so_many_regions():
    for limits in [(8, 24), (10, 10), (0, 2)]:
        detector = load_detector("scenes", DetectorOptions(boxes=limits, device="cpu"))
        counts = [len(regions) for regions in detector.detect(IMAGES)]
        assert limits[0] <= min(counts) <= max(counts) <= limits[1]


def test_grid_mode_gives_a_region_a_cell():
    detector = load_detector("scenes", DetectorOptions(mode="grid", device="cpu"))
    found = detector.detect(IMAGES[:1])[0].checked()
    assert found.features.shape == (100, 128)
    assert found.attributes.shape == (100, 0) == (100, detector.attributes)
    assert found.boxes[11].tolist() == [16, 16, 32, 32]


def test_folding_normalisation_changes_no_output():
    torch.manual_seed(0)
    model = build(["a", "b"], {"colour": ["c"]})
    noise = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        model.backbone.train()(noise * 3 + 1)  # so that there are statistics to fold
        before = model.eval().backbone(noise)
        fold_normalisation(model)
        after = model.backbone(noise)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    for name, one in before.items():
        torch.testing.assert_close(after[name], one, atol=1e-4, rtol=1e-4)


def test_the_shipped_file_is_small_and_names_itself(detector):
    assert SHIPPED.stat().st_size <= 8e6
    identity = detector.describe()
    assert identity["name"] == "scenes"
    assert len(identity["weights"]) == 64
    assert identity["dim"] == detector.dim == 256
    with pytest.warns(UserWarning, match="RANDOM"):
        other = load_detector("scenes", DetectorOptions(weights="random", device="cpu"))
    assert other.describe()["weights"] != identity["weights"]


def test_weights_without_names_are_refused(tmp_path: Path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(HeedError, match="heed train detection"):
        load_detector("scenes", DetectorOptions(weights=str(tmp_path / "other.pth")))
