"""The scenes folder: its layout, what a kill leaves, and what the readers give."""

import json

import numpy as np
import pytest
from PIL import Image

import pipeline.scenes.dataset as dataset
from features.errors import HeedError
from pipeline.datasets import read_captions
from pipeline.datasets.scenes import read_objects
from pipeline.scenes import COLOURS, SHAPES, SIZES, TEXTURES, captions, render, scene, write_scenes


@pytest.fixture(autouse=True)
def parts_of_four(monkeypatch):
    monkeypatch.setattr(dataset, "PART", 4)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    write_scenes(tmp_path / "scenes", 10, seed=3, size=64)
    return tmp_path / "scenes"


def test_a_folder_holds_pictures_parts_and_identity(folder):
    files = contents(folder)
    assert sorted(files) == sorted(
        ["scenes.json", *(f"annotations/{i:06d}.jsonl" for i in (0, 4, 8)), *(f"images/{i:06d}.png" for i in range(10))]
    )
    header = json.loads(files["scenes.json"])
    assert (header["version"], header["seed"], header["images"], header["size"]) == (1, 3, 10, 64)
    with Image.open(folder / "images/000007.png") as picture:
        assert np.array_equal(np.asarray(picture), render(scene(3, 7), 64))


def test_annotations_hold_what_the_readme_of_the_format_says(folder):
    rows = [json.loads(line) for part in sorted((folder / "annotations").iterdir()) for line in part.open()]
    assert [row["key"] for row in rows] == [f"{i:06d}.png" for i in range(10)]
    assert [row["split"] for row in rows] == ["train"] * 8 + ["val", "test"]
    row, s = rows[5], scene(3, 5)
    assert (row["width"], row["height"], row["label"]) == (64, 64, s.label)
    assert [tuple(o[k] for k in ("shape", "colour", "size", "texture")) for o in row["objects"]] == \
        [(o.shape, o.colour, o.size, o.texture) for o in s.objects]
    assert np.abs(np.array([o["box"] for o in row["objects"]]) - s.boxes(64)).max() <= 0.01
    assert [c["text"] for c in row["captions"]] == [c.text for c in captions(s)]
    assert {"subject", "predicate", "object"} == set(row["relations"][0])


def test_a_killed_run_continues_without_doing_a_finished_part_again(folder, tmp_path, monkeypatch):
    other = tmp_path / "killed"

    def die(done, total):
        assert total == 10
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(other, 10, seed=3, size=64, progress=die)
    assert [p.name for p in (other / "annotations").iterdir()] == ["000000.jsonl"]
    with pytest.raises(HeedError, match="4 of its 10 scenes"):
        read_captions(other)

    rendered = []
    monkeypatch.setattr(dataset, "render", lambda of, size: rendered.append(of.index) or render(of, size))
    done = []
    write_scenes(other, 10, seed=3, size=64, progress=lambda at, _: done.append(at))
    assert rendered == [4, 5, 6, 7, 8, 9]
    assert done == [4, 5, 6, 7, 8, 9, 10]
    assert contents(other) == contents(folder)


def test_a_lost_part_is_written_again_to_the_same_bytes(folder):
    before = contents(folder)
    (folder / "annotations/000008.jsonl").unlink()
    write_scenes(folder, 10, seed=3, size=64)
    assert contents(folder) == before


def test_a_folder_grows_but_never_changes_its_scenes(folder, tmp_path):
    write_scenes(folder, 15, seed=3, size=64)
    write_scenes(tmp_path / "whole", 15, seed=3, size=64)
    assert contents(folder) == contents(tmp_path / "whole")
    for wrong in ({"seed": 4}, {"size": 32}):
        with pytest.raises(HeedError, match=f"not {next(iter(wrong.values()))}"):
            write_scenes(folder, 15, **{"seed": 3, "size": 64, **wrong})
    with pytest.raises(HeedError, match="holds 15 scenes already"):
        write_scenes(folder, 3, seed=3, size=64)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(HeedError, match="is not empty"):
        write_scenes(tmp_path, 3)
    with pytest.raises(HeedError, match="at least one"):
        write_scenes(tmp_path / "new", 0)


def test_captions_come_with_the_boxes_of_their_phrases(folder):
    found = read_captions(folder)
    assert len(found) == 50 and len({caption.id for caption in found}) == 50
    by_key = {image.key: image for image in read_objects(folder)}
    for caption, truth in zip(found, (c for i in range(10) for c in captions(scene(3, i))), strict=True):
        assert caption.text == truth.text
        image = by_key[caption.key]
        for phrase, expected in zip(caption.phrases, truth.phrases, strict=True):
            assert caption.text[phrase.start:phrase.end] == truth.text[expected.start:expected.end]
            assert phrase.boxes.dtype == np.float32
            assert np.array_equal(phrase.boxes, image.boxes[list(expected.objects)])
            kinds = {SHAPES[image.shapes[i]] for i in expected.objects}
            assert phrase.kind == (kinds.pop() if len(kinds) == 1 else "objects")


def test_splits_are_disjoint_and_whole(folder):
    keys = {split: {c.key for c in read_captions(folder, split)} for split in ("train", "val", "test")}
    assert keys["val"] == {"000008.png"} and keys["test"] == {"000009.png"} and len(keys["train"]) == 8
    assert [image.key for image in read_objects(folder, "val")] == ["000008.png"]


def test_objects_are_ids_into_the_vocabularies(folder):
    for index, image in enumerate(read_objects(folder)):
        s = scene(3, index)
        assert (image.width, image.height, image.boxes.shape) == (64, 64, (len(s.objects), 4))
        for kind, names, ids in (("shape", SHAPES, image.shapes), ("colour", COLOURS, image.colours),
                                 ("size", SIZES, image.sizes), ("texture", TEXTURES, image.textures)):
            assert [names[i] for i in ids] == [getattr(o, kind) for o in s.objects]


def test_damage_is_told_in_a_sentence(folder, tmp_path):
    (folder / "annotations/000004.jsonl").write_text("{broken\n")
    with pytest.raises(HeedError, match=r"000004\.jsonl is damaged"):
        read_captions(folder)
    with pytest.raises(HeedError, match=r"no scenes\.json"):
        read_objects(tmp_path)
