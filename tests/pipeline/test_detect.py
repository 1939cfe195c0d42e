"""Real pixels through the shipped detector into a store, good inputs and bad."""

import numpy as np
import pytest
from PIL import Image

from features.boxes import iou
from heed import main
from pipeline.datasets.scenes import read_objects
from pipeline.scenes import SHAPES
from pipeline.scenes.dataset import write_scenes
from pipeline.store import Store
from tests.pipeline.toy import shard_bytes

pytest.importorskip("torchvision", reason="the detectors need torchvision")
EXTRACT = ["--detector", "scenes", "--boxes", "6", "24", "--inline", "--device", "cpu"]


def extract(source, store, *more):
    return main(["extract", "regions", str(source), str(store), *EXTRACT, *more])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    write_scenes(folder, 6)
    return folder


def test_regions_cover_the_true_objects_with_their_classes(scenes, tmp_path):
    assert extract(scenes / "images", tmp_path / "store") == 0
    store = Store.open(tmp_path / "store")
    names = store.identity.extractor["classes"]
    found = total = 0
    for truth in read_objects(scenes):
        regions = store.regions(store.find(truth.key))
        assert regions.features.dtype == np.float16 and 6 <= len(regions) <= 24
        overlap = iou(regions.boxes, truth.boxes)
        for place, shape in enumerate(truth.shapes):
            best = overlap[:, place].argmax()
            found += overlap[best, place] >= 0.5 and names[regions.classes[best]] == SHAPES[shape]
            total += 1
    assert found / total > 0.9


def test_every_good_input_is_stored_and_every_bad_one_listed_with_its_reason(scenes, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.open(scenes / "images" / "000000.png").convert("RGB")
    picture.save(photos / "plain.jpg", quality=95)
    data = (photos / "plain.jpg").read_bytes()
    (photos / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("no picture")
    Image.new("RGB", (1, 1)).save(photos / "dot.png")
    picture.convert("CMYK").save(photos / "cmyk.jpg", quality=95)
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(photos / "deep.png")
    picture.save(photos / "moving.gif", save_all=True, append_images=[picture.rotate(90)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    picture.crop((0, 0, 160, 120)).rotate(90, expand=True).save(photos / "turned.jpg", exif=exif, quality=95)
    assert extract(photos, tmp_path / "store") == 3
    printed = capsys.readouterr().out
    assert "6 of 9 images stored" in printed and "3 images failed" in printed
    for name, reason in (("truncated.jpg", "truncated"), ("empty.jpg", "empty"), ("text.jpg", "not an image")):
        assert any(name in line and reason in line for line in printed.splitlines())
    store = Store.open(tmp_path / "store")
    turned, plain = store.regions(store.find("turned.jpg")), store.regions(store.find("plain.jpg"))
    assert (turned.width, turned.height) == (160, 120)
    truth = read_objects(scenes)[0]
    whole = truth.boxes[truth.boxes[:, 3] < 115]  # objects the crop did not cut
    assert len(whole) and (iou(turned.boxes, whole).max(0) > 0.6).all() and (iou(plain.boxes, whole).max(0) > 0.6).all()


def test_given_boxes_are_pooled_in_their_order(scenes, tmp_path):
    truth = read_objects(scenes)[1]
    rows = ",".join(str([float(edge) for edge in box]) for box in truth.boxes[::-1])
    (tmp_path / "list.jsonl").write_text(
        f'{{"key": "one", "path": "{scenes / "images" / truth.key}", "boxes": [{rows}]}}\n'
        f'{{"key": "none", "path": "{scenes / "images" / truth.key}", "boxes": []}}\n')
    assert extract(tmp_path / "list.jsonl", tmp_path / "store", "--dtype", "float32") == 0
    store = Store.open(tmp_path / "store")
    one = store.regions(store.find("one"))
    assert np.allclose(one.boxes, truth.boxes[::-1], atol=1e-3) and len(store.regions(store.find("none"))) == 0
    assert one.features.dtype == np.float32 and one.features.std() > 0


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_ray_and_inline_give_the_same_bytes(scenes, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    extract(scenes / "images", tmp_path / "inline", "--shard-rows", "2")
    words = [word for word in EXTRACT if word != "--inline"]
    words += ["--shard-rows", "2", "--actors", "2"]
    main(["extract", "regions", str(scenes / "images"), str(tmp_path / "ray"), *words])
    assert shard_bytes(tmp_path / "inline") == shard_bytes(tmp_path / "ray")


def test_a_wrong_detector_name_suggests_the_right_one(scenes, tmp_path, capsys):
    assert main(["extract", "regions", str(scenes / "images"), str(tmp_path / "s"), "--detector", "torchvison"]) == 2
    assert "Did you mean 'torchvision'" in capsys.readouterr().err
