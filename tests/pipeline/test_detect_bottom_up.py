"""Bottom-up regions through the command into a store, with all that only this detector has."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torchvision", reason="the detectors need torchvision")
from heed import main
from pipeline.store import Store
from tests.features.c4_weights import random_photo
from tests.features.test_bottom_up import saved


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bottom_up")
    (folder / "weights").mkdir()
    saved("frcnn-vg", folder / "weights")
    (folder / "photos").mkdir()
    for number in range(3):
        Image.fromarray(random_photo(150, 230 - 40 * (number == 1), number)).save(folder / "photos" / f"{number}.png")
    assert main(["extract", "regions", str(folder / "photos"), str(folder / "store"), "--detector", "bottom-up",
                 "--weights", str(folder / "weights"), "--distributions", "--device", "cpu", "--inline"]) == 0
    return Store.open(folder / "store")


def test_regions_hold_attributes_and_the_probabilities_of_all_classes(store):
    for number in range(3):
        regions = store.regions(store.find(f"{number}.png")).checked()
        assert 12 <= len(regions) <= 14
        assert regions.class_probabilities.shape == (len(regions), 21)
        np.testing.assert_allclose(regions.class_probabilities.sum(1), 1, atol=5e-3)
        best = regions.class_probabilities[:, :20]
        np.testing.assert_allclose(best.max(1), regions.class_scores, atol=1e-3)
        np.testing.assert_array_equal(best.argmax(1), regions.classes)
        assert regions.attributes.shape == (len(regions), 1) and (regions.attributes < 9).all()


def test_the_identity_names_layout_rule_and_network(store):
    said = store.identity.extractor
    assert (said["name"], said["architecture"], said["options"]["preset"]) == ("bottom-up", "frcnn-vg", "detectron2")
    assert said["rungs"] == [0.3, 0.6] and said["options"]["distributions"] is True
    assert json.loads(json.dumps(said))["network"]["resizer"] == "torch"


def test_options_of_this_detector_are_refused_by_others(store, tmp_path, capsys):
    photos = store.path.parent / "photos"
    assert main(["extract", "regions", str(photos), str(tmp_path / "s"), "--detector", "scenes", "--preset", "caffe",
                 "--inline"]) == 2
    assert "'scenes' has one rule" in capsys.readouterr().err
