from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.detections import read_detections
from features.detectors import DetectorOptions, load_detector
from features.detectors.scenes_frcnn import as_detector
from pipeline.datasets.scenes import read_objects
from pipeline.scenes.dataset import write_scenes
from training.tasks.detection import WEIGHTS_FILE, DetectionConfig


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detection")
    write_scenes(folder / "scenes", 20, size=96)
    config = DetectionConfig(folder / "scenes", folder / "run", validation_images=2)
    return replace(config, loop=replace(config.loop, batch_size=4, device="cpu"))


@pytest.fixture(scope="module")
def task(config):
    return config.build()


def test_batches_are_a_pure_function_of_epoch_and_step(task):
    whole = list(task.batches(epoch=1, first=0))
    assert len(whole) == task.steps_per_epoch == 4
    rest = list(task.batches(epoch=1, first=2))
    for (images, targets), (again, same) in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(images, again, strict=True))
        assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(targets, same, strict=True))
    assert not torch.equal(next(task.batches(0, 0))[0][0], whole[0][0][0])


def test_mirrored_images_keep_their_objects_in_their_boxes(task):
    objects = task.training[0]
    plain, target = task._example(objects, False)
    mirrored, turned = task._example(objects, True)
    for (x1, y1, x2, y2), box in zip(target["boxes"].round().int().tolist(), turned["boxes"], strict=True):
        u1, v1, u2, v2 = box.round().int().tolist()
        assert torch.equal(mirrored[:, v1:v2, u1:u2].flip(2), plain[:, y1:y2, x1:x2])
    assert torch.equal(target["labels"], turned["labels"])
    assert target["labels"].min() >= 1
    assert target["attributes"].shape == (len(objects.boxes), 3)


def test_a_step_of_learning_touches_every_parameter_and_lowers_the_loss(task):
    torch.manual_seed(0)
    model = task.model.train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    batch = next(task.batches(0, 0))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss, figures = task.step(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(figures.values()) == pytest.approx(losses[-1], rel=1e-5)
    assert {"loss_colour", "loss_size", "loss_texture", "loss_class", "loss_box"} < set(figures)
    assert losses[-1] < 0.8 * losses[0]
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_the_exported_file_is_the_detector_that_was_judged(config, task, tmp_path):
    assert set(task.validate()) == {"map", "map50", "map75", "recall", "colour", "size", "texture"}
    task.predict("test", tmp_path / "test.arrow")
    written = read_detections(tmp_path / "test.arrow")
    truth = read_objects(config.data, "test")
    assert list(written) == [one.key for one in truth]
    figures = config.judge("test", tmp_path / "test.arrow")
    assert 0 <= figures["map"] <= figures["map50"] <= 1
    path = tmp_path / WEIGHTS_FILE
    task.export(path)
    detector = load_detector("scenes", DetectorOptions(str(path), boxes=(0, 100), score_threshold=0.05, nms=0.5,
                                                       device="cpu"))
    images = [task._pixels(one.key) for one in truth]
    boxes = [one.boxes for one in truth]
    judged = list(task._detect(truth))
    assert [one.key for one, _ in judged] == list(written)
    # Half precision and folded normalisation move a number a little, but change nothing.
    exact = as_detector(task.model, detector.options, {}).detect(images, boxes)
    for shipped, kept in zip(detector.detect(images, boxes), exact, strict=True):
        np.testing.assert_allclose(shipped.features, kept.features, atol=0.02 * np.abs(kept.features).max())
    assert path.stat().st_size < 4e6
