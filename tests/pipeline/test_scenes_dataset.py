"""The scenes folder: its layout, what a kill leaves, and what the readers give."""

import json

import numpy as np
import pytest
from PIL import Image

import pipeline.scenes.dataset as dataset
from features.errors import HeedError
from pipeline.datasets import read_captions
from pipeline.datasets.scenes import read_labels, read_objects, read_questions, read_relations, read_text_questions
from pipeline.scenes import COLOURS, SHAPES, SIZES, TEXTURES, captions, relations, render, scene, write_scenes
from pipeline.scenes.programs import Step, execute
from pipeline.scenes.questions import TEN_ANSWERS, questions
from pipeline.scenes.signs import sign_scene
from pipeline.scenes.text_questions import text_questions


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
        ["scenes.json", *(f"images/{i:06d}.png" for i in range(10)),
         *(f"{part}/{i:06d}.jsonl" for part in ("annotations", "questions") for i in (0, 4, 8))]
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
    for wrong in ({"seed": 4}, {"size": 32}, {"flavour": "few"}):
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


def test_phrases_that_name_the_same_are_one_chain(folder):
    for image in read_objects(folder):
        boxes = {}
        for caption in (c for c in read_captions(folder) if c.key == image.key):
            for phrase in caption.phrases:
                assert np.array_equal(boxes.setdefault(phrase.chain, phrase.boxes), phrase.boxes)
        assert len({box.tobytes() for box in boxes.values()}) == len(boxes)


def test_questions_come_with_answers_programs_and_boxes(folder):
    found = read_questions(folder)
    truth = [(s, q) for s in (scene(3, i) for i in range(10)) for q in questions(s)]
    for question, (s, q) in zip(found, truth, strict=True):
        assert (question.key, question.text, question.kind) == (f"{s.index:06d}.png", q.text, q.kind)
        assert question.answers == (q.answer,)
        assert np.abs(question.boxes - s.boxes(64)[list(q.objects)].reshape(-1, 4)).max(initial=0) <= 0.01
        program = tuple(Step(function, inputs, value) for function, inputs, value in question.program)
        assert execute(program, s)[0] == q.answer
        assert all(len(phrase.boxes) for phrase in question.phrases)
    ten = read_questions(folder, "train", ten_answers=True)
    assert {q.answers[0] for q in ten} <= set(TEN_ANSWERS) and len(ten) > 40
    assert {q.key for q in ten} == {f"{i:06d}.png" for i in range(8)}
    with pytest.raises(HeedError, match="--flavour signs"):
        read_text_questions(folder)


def test_text_questions_come_with_ten_answers_and_every_word_that_is_written(tmp_path):
    write_scenes(tmp_path / "signs", 10, seed=3, size=96, flavour="signs")
    assert json.loads((tmp_path / "signs/scenes.json").read_text())["flavour"] == "signs"
    found = read_text_questions(tmp_path / "signs")
    truth = [(s, q) for s in (sign_scene(3, i) for i in range(10)) for q in text_questions(s)]
    for question, (s, q) in zip(found, truth, strict=True):
        assert (question.text, question.answers) == (q.text, (q.answer,) * 10)
        assert [token.text for token in question.tokens] == [line for sign in s.signs for line in sign.lines]
        boards = {line: sign for sign in s.signs for line in sign.lines}
        for token in question.tokens:
            board = np.array(boards[token.text].box) * 96
            assert (token.box[:2] > board[:2]).all() and (token.box[2:] < board[2:]).all()
        if q.copied:
            assert set(q.answer.split()) <= {token.text.lower() for token in question.tokens}
        seen = [s.signs[i].box for i in q.signs] + [s.objects[i].box for i in q.objects]
        assert np.abs(question.boxes - np.array(seen).reshape(-1, 4) * 96).max(initial=0) <= 0.01


def test_relations_and_labels_are_the_scene_s(folder):
    for i, (graph, label) in enumerate(zip(read_relations(folder), read_labels(folder), strict=True)):
        s = scene(3, i)
        assert (graph.key, label.key, label.label) == (f"{i:06d}.png", f"{i:06d}.png", s.label)
        assert list(graph.triples) == relations(s) and graph.names == tuple(o.shape for o in s.objects)
        assert np.abs(graph.boxes - s.boxes(64)).max() <= 0.01
    assert len(read_labels(folder, "test")) == len(read_relations(folder, "val")) == 1


def test_a_folder_from_before_there_were_questions_gets_them_without_being_drawn_again(folder, monkeypatch):
    before = contents(folder)
    for part in (folder / "questions").iterdir():
        part.unlink()
    with pytest.raises(HeedError, match="0 of its 10 scenes' questions"):
        read_questions(folder)
    monkeypatch.setattr(dataset, "render", lambda of, size: 1 / 0)
    write_scenes(folder, 10, seed=3, size=64)
    assert contents(folder) == before


def test_an_unknown_flavour_is_refused(tmp_path):
    with pytest.raises(HeedError, match="objects, signs, few"):
        write_scenes(tmp_path / "x", 1, flavour="vanilla")


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
