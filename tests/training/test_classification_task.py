import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from features.errors import HeedError
from pipeline.datasets.labelled_images import read_labelled_images
from pipeline.scenes.dataset import write_scenes
from training import checkpoint
from training.attention.mask_config import MaskConfig
from training.augmentation import Pictures, epoch_batches, seeded, training_transform
from training.augmentation_config import AugmentConfig
from training.config import LoopConfig
from training.models.vit import build_vit
from training.models.vit_config import VitConfig
from training.tasks.classification import ClassificationConfig

pytest.importorskip("timm")
SMALL = VitConfig("vit_tiny_patch16_224", size=32, patch=16, dim=24, depth=2, heads=2, drop_path=0.0)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classification") / "scenes"
    write_scenes(folder, 60, size=32)
    return folder


def config(scenes, out, **more):
    loop = LoopConfig(epochs=2, batch_size=16, lr=1e-3, optimiser="adamw", device="cpu", checkpoint_every=1)
    return ClassificationConfig(scenes, out, model=SMALL, loop=replace(loop, **more))


def pictures(scenes, seed=0):
    images = read_labelled_images(scenes, "train")
    transform = training_transform(AugmentConfig(), 32, (0.5,) * 3, (0.5,) * 3)
    return Pictures(images, images.classes(), transform, seed)


def test_pictures_are_a_pure_function_of_seed_epoch_and_number_whoever_reads_them(scenes):
    state = torch.get_rng_state()
    whole = list(epoch_batches(pictures(scenes), 3, 16, 0, 0))
    assert torch.equal(state, torch.get_rng_state())  # dropout's numbers are left alone
    rest = list(epoch_batches(pictures(scenes), 3, 16, 1, 0))
    elsewhere = list(epoch_batches(pictures(scenes), 3, 16, 1, 1))
    for (a, x), (b, y), (c, z) in zip(whole[1:], rest, elsewhere, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c) and torch.equal(x, y) and torch.equal(x, z)
    other = next(iter(epoch_batches(pictures(scenes, 1), 3, 16, 0, 0)))[0]
    again = next(iter(epoch_batches(pictures(scenes), 4, 16, 0, 0)))[0]
    assert not torch.equal(whole[0][0], other) and not torch.equal(whole[0][0], again)
    seen = torch.cat([x for _, x in whole])
    assert len(seen) == 48 and sorted(seen.tolist()) == sorted(pictures(scenes).targets.tolist())


def test_seeded_numbers_leave_the_others_as_they_were():
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    first = (np.random.rand(), torch.rand(1))  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    with seeded(1, 2):
        a = (np.random.rand(), float(torch.rand(1)))  # noqa: NPY002
    assert (np.random.rand(), torch.rand(1)) == first  # noqa: NPY002
    with seeded(1, 2):
        assert (np.random.rand(), float(torch.rand(1))) == a  # noqa: NPY002


def test_wanted_probabilities_sum_to_one_mixed_or_smoothed(scenes, tmp_path):
    task = config(scenes, tmp_path / "run").build()
    for images, wanted in task.batches(0, 0):
        assert images.shape[1:] == (3, 32, 32) and wanted.shape == (len(images), len(task.classes))
        assert torch.allclose(wanted.sum(1), torch.ones(len(images)), atol=1e-5)
    plain = replace(config(scenes, tmp_path / "run2"), augment=AugmentConfig(mixup=0, cutmix=0, smoothing=0.1)).build()
    wanted = next(plain.batches(0, 0))[1]
    assert torch.allclose(wanted.amax(1), torch.tensor(0.9 + 0.1 / len(plain.classes)))


@pytest.mark.parametrize("mask", ["none", "lam"])
def test_it_trains_resumes_bit_for_bit_predicts_and_is_judged(scenes, tmp_path, mask):
    from training.commands import train_and_test
    from training.loop import train
    from training.run import Run

    straight = replace(config(scenes, tmp_path / "straight"), mask=MaskConfig(mask))
    assert train_and_test("classification", straight) == 0
    broken = replace(config(scenes, tmp_path / "broken", epochs=2), mask=MaskConfig(mask))
    run = Run.begin(broken.out, "classification", broken, {})
    task = broken.build()
    original, steps = task.step, [0]

    def stop(batch):
        steps[0] += 1
        if steps[0] == 5:
            raise KeyboardInterrupt
        return original(batch)

    task.step = stop
    with pytest.raises(KeyboardInterrupt):
        train(task, broken.loop, run)
    train(broken.build(), broken.loop, run)
    one, two = (checkpoint.load(c.out / "checkpoints" / "last.pt")["model"] for c in (straight, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)
    found = json.loads((straight.out / "evaluation" / "test.json").read_text())
    lines = [json.loads(line) for line in (straight.out / "predictions" / "test.jsonl").read_text().splitlines()]
    truth = dict(zip(*(lambda i: (i.keys, i.labels))(straight.split("test")), strict=True))
    right = [truth[line["image"]] == line["classes"][0] for line in lines]
    assert found["figures"]["top1"]["value"] == pytest.approx(100 * np.mean(right)) and len(lines) == 6


def test_weights_in_timms_layout_start_a_model_with_or_without_masks(tmp_path):
    source = build_vit(SMALL, MaskConfig(), 9)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    start = replace(SMALL, start=str(tmp_path / "vit.pth"))
    for mask, classes in (("none", 9), ("lam-multi", 9), ("lam", 4)):
        model = build_vit(start, MaskConfig(mask), classes)
        assert torch.equal(model.blocks[1].attn.qkv.weight, source.blocks[1].attn.qkv.weight)
        assert torch.equal(model.head.weight, source.head.weight) == (classes == 9)
    with pytest.raises(HeedError, match="does not fit"):
        build_vit(replace(start, depth=3), MaskConfig(), 9)
