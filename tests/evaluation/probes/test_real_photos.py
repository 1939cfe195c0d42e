"""Random subjects over real photos: ten with their bottom-up features, and the captioned and boxed ones of COCO."""

import numpy as np
import pytest
from PIL import Image

from evaluation.probes.observations import write_observations
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import make_pairs, open_store
from evaluation.probes.run import Plan, run_probes
from features.regions import Regions
from pipeline.annotations import Caption, Phrase, Relations
from pipeline.datasets import read_captions, read_relations
from pipeline.datasets.coco_instances import named
from pipeline.fields import region_fields, row_from_regions
from pipeline.importer import open_import
from pipeline.job import run_job
from tests.evaluation.probes.tiny import tiny_lxmert, tiny_uniter, vocabulary
from tests.pipeline.rows_store import rows_store
from tests.shared import SHARED, needs_shared

pytestmark = needs_shared
QUICK = ProbeOptions(resamples=50, seeds=1, iterations=8, kmeans_starts=4)
PIXELS = 4
PROBES = ("fusion", "importance", "cross-modal-heads", "coreference-heads", "coreference-attention",
          "coreference-states", "relations-attention", "relations-states", "linguistic", "patterns")


def object_names():
    path = SHARED / "data" / "vocab" / "vg_objects_vocab.txt"
    return [line.split(",")[0].strip() for line in path.read_text().splitlines()]


def named_objects(store):
    """A caption of an image's three surest objects, and left and right between their boxes."""
    captions, objects = [], []
    names = object_names()
    for row, key in enumerate(store.keys()):
        regions = store.regions(row)
        top = list({names[regions.classes[i]]: i for i in np.argsort(regions.class_scores)}.values())[::-1][:3]
        text, phrases = "", []
        for i in top:
            name = names[regions.classes[i]]
            phrases.append(Phrase(len(text), len(text) + len(name), regions.boxes[[i]], name, name))
            text += f"{name} and "
        captions.append(Caption(key, key, text, tuple(phrases)))
        left = regions.boxes[top, 0]
        objects.append(Relations(key, regions.boxes[top], tuple(names[regions.classes[i]] for i in top), tuple(
            (a, "left of", b) for a in range(3) for b in range(3) if left[a] + 40 < left[b])))
    return captions, objects


@pytest.mark.parametrize("make", [tiny_uniter, tiny_lxmert])
def test_ten_photos_with_their_bottom_up_features(tmp_path, make):
    source, reader = open_import("lxmert-tsv", SHARED / "data" / "butd_features" / "train2014_obj36.tsv", "float16")
    run_job(reader, source, tmp_path / "store", inline=True)
    store = open_store(tmp_path / "store")
    captions, objects = named_objects(store)
    words = vocabulary(tmp_path / "vocab.txt", [caption.text for caption in captions])
    pairs = make_pairs(captions, objects, store, holdout=0.8)
    assert len(pairs) == 10 and all(len(pair.boxes) == 36 for pair in pairs.pairs)
    assert sum(len(pair.links) for pair in pairs.pairs) == 30 and pairs.left_out == 0
    found = run_probes(Plan(make(words, 2048), pairs, tmp_path / "out", [
        name for name in PROBES if not name.endswith("states")], ["subject"], QUICK, pictures=False))["subject"]
    fusion = found["fusion"].rows
    assert {row["nmi"].n for row in fusion} == {10} and all(0 <= row["nmi"].value <= 1 for row in fusion)
    heads = found["coreference-heads"].find("coreference of single heads", type="all", direction="text->image")
    assert heads[0]["chance"].value == pytest.approx(1 / 36, rel=0.3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The 87 photos that have captions and boxes; a region's features are its pixels, 4 x 4."""
    folder = SHARED / "data" / "coco_photos"
    objects = [image for image in read_relations(folder / "instances.json") if len(image.boxes)]
    captions = named(read_captions(folder / "captions.json"), objects)
    known = {caption.key for caption in captions}
    rows, fields = [], region_fields(3 * PIXELS**2, 0)
    for image in objects:
        if image.key not in known:
            continue
        with Image.open(folder / "images" / image.key) as photo:
            small = photo.convert("RGB").reduce(4)
            boxes = np.clip(image.boxes, 0, [photo.width, photo.height] * 2).astype(np.float32)
        crops = [small.crop(tuple((box // 4 + [0, 0, 1, 1]).astype(int))).resize((PIXELS, PIXELS)) for box in boxes]
        features = np.stack([np.asarray(crop, np.float32).ravel() / 255 for crop in crops])
        n = len(boxes)
        rows.append(row_from_regions(image.key, Regions(
            boxes, features, np.zeros(n, np.int32), np.ones(n, np.float32), np.zeros((n, 0), np.int32),
            np.zeros((n, 0), np.float32), photo.width, photo.height), fields))
    place = tmp_path_factory.mktemp("photos")
    rows_store(place / "store", rows, fields, "regions", shard_rows=50)
    words = vocabulary(place / "vocab.txt", [caption.text for caption in captions])
    return make_pairs(captions, objects, open_store(place / "store"), captions_each=1), words


def test_captioned_and_boxed_photos_go_through_every_probe_that_they_have_data_for(photos, tmp_path):
    pairs, words = photos
    assert len(pairs.merged) == 87 and sum(len(pair.links) for pair in pairs.pairs) > 40
    plan = Plan(tiny_uniter(words, 3 * PIXELS**2), pairs, tmp_path, list(PROBES), ["subject"], QUICK,
                pictures=False)
    found = run_probes(plan)
    assert set(found["subject"]) == {name for name in PROBES if not name.startswith(("relations", "linguistic"))}
    for result in found.values():
        detection = {row["features"]: row for row in result["coreference-attention"].find("coreference detection")}
        assert detection["majority"]["accuracy"].value == 0.5
        assert abs(detection["all heads"]["accuracy"].value - 0.5) < 0.25  # random weights know little
        kinds = {row["features"]: row for row in result["coreference-states"].find("coreference classification")}
        assert kinds["phrase words"]["accuracy"].value > kinds["majority"]["accuracy"].value  # the words leak the type
    observed = write_observations(found, tmp_path)
    assert [one.verdict for one in observed][3:] == ["not measured"] * 2 and "supported" not in {
        one.verdict for one in observed[1:]}
