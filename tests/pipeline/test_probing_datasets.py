"""Flickr30k Entities, Visual Genome, COCO's instances and SentEval's probing files, in the published layouts."""

import json
from collections import Counter

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.datasets import coco_instances, flickr30k_entities, read_captions, read_relations, senteval
from tests.shared import SHARED, needs_shared

XML = """<annotation><filename>36979.jpg</filename><size><width>500</width><height>375</height><depth>3</depth></size>
<object><name>1</name><bndbox><xmin>1</xmin><ymin>11</ymin><xmax>100</xmax><ymax>200</ymax></bndbox></object>
<object><name>1</name><name>2</name><bndbox><xmin>50</xmin><ymin>60</ymin><xmax>70</xmax><ymax>80</ymax></bndbox></object>
<object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object></annotation>"""
LINES = ("[/EN#1/people Two men] in [/EN#2/clothing/other red hats] stand in [/EN#3/scene a park] .\n"
         "[/EN#0/notvisual They] wave .\n")


@pytest.fixture
def flickr(tmp_path):
    for name in ("36979", "100"):
        for folder, suffix, content in (("Sentences", "txt", LINES), ("Annotations", "xml", XML)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.{suffix}").write_text(content)
    return tmp_path


def test_flickr30k_entities_links_phrases_to_boxes_by_chains(flickr):
    captions = read_captions(flickr)
    assert [caption.id for caption in captions] == ["100#0", "100#1", "36979#0", "36979#1"]
    first = captions[2]
    assert first.key == "36979.jpg" and first.text == "Two men in red hats stand in a park ."
    men, hats = first.phrases  # the park has no box
    assert (first.text[men.start:men.end], men.kind, men.chain) == ("Two men", "people", "1")
    assert (first.text[hats.start:hats.end], hats.kind) == ("red hats", "clothing")
    assert men.boxes.tolist() == [[0, 10, 100, 200], [49, 59, 70, 80]] and hats.boxes.tolist() == [[49, 59, 70, 80]]
    assert captions[3].text == "They wave ." and not captions[3].phrases


def test_flickr30k_entities_published_splits_are_used(flickr):
    (flickr / "test.txt").write_text("100\n")
    assert {caption.key for caption in read_captions(flickr, "test")} == {"100.jpg"}


def test_flickr30k_entities_damage_is_told_by_file(flickr):
    (flickr / "Annotations" / "100.xml").write_text("<annotation><object>")
    with pytest.raises(HeedError, match=r"100.xml is no XML"):
        read_captions(flickr)
    with pytest.raises(HeedError, match="EN#chain"):
        flickr30k_entities.sentence("[/EN#1 a man] runs .")


@needs_shared
def test_real_sentences_of_flickr30k_entities_are_read():
    lines = [line for file in sorted((SHARED / "data" / "vl_fixtures" / "flickr30k" / "sentences").glob("*.txt"))
             for line in file.read_text().splitlines()]
    read = [flickr30k_entities.sentence(line) for line in lines]
    assert len(read) == 10 and sum(len(phrases) for _, phrases in read) == sum(line.count("[/EN#") for line in lines)
    assert "A girl with brown hair sits on the edge of a cement area overlooking water ." in [text for text, _ in read]
    for text, phrases in read:
        assert all(kinds[0] in flickr30k_entities.TYPES and text[start:end].strip() for start, end, _, kinds in phrases)


GRAPH = [{"image_id": 2, "objects": [
    {"object_id": 10, "x": 5, "y": 6, "w": 20, "h": 30, "names": ["Man"], "synsets": []},
    {"object_id": 11, "x": 0, "y": 0, "w": 8, "h": 8, "names": ["hat"], "synsets": []}],
    "attributes": [], "relationships": [{"relationship_id": 1, "predicate": "WEARING ", "subject_id": 10,
                                         "object_id": 11, "synsets": []}]}]
RELATED = [{"image_id": 2, "relationships": [{
    "relationship_id": 1, "predicate": "WEARING ", "synsets": [],
    "subject": {"object_id": 10, "x": 5, "y": 6, "w": 20, "h": 30, "name": "Man", "synsets": []},
    "object": {"object_id": 11, "x": 0, "y": 0, "w": 8, "h": 8, "names": ["hat"], "synsets": []}}]}]


@pytest.mark.parametrize("name, content", [("scene_graphs.json", GRAPH), ("relationships.json", RELATED)])
def test_visual_genome_s_two_layouts_say_the_same(tmp_path, name, content):
    (tmp_path / name).write_text(json.dumps(content))
    (image,) = read_relations(tmp_path)
    assert image.key == "2.jpg" and image.names == ("man", "hat") and image.triples == ((0, "wearing", 1),)
    assert image.boxes.tolist() == [[5, 6, 25, 36], [0, 0, 8, 8]]


def test_visual_genome_s_objects_in_no_relation_come_from_their_file(tmp_path):
    (tmp_path / "relationships.json").write_text(json.dumps(RELATED))
    more = {"object_id": 12, "x": 1, "y": 1, "w": 2, "h": 2, "names": ["tree"]}
    (tmp_path / "objects.json").write_text(json.dumps([{"image_id": 2, "objects": [GRAPH[0]["objects"][0], more]}]))
    (image,) = read_relations(tmp_path)
    assert image.names == ("man", "tree", "hat") and image.triples == ((0, "wearing", 2),)


def test_visual_genome_s_region_descriptions_are_captions_of_one_phrase(tmp_path):
    region = {"region_id": 7, "image_id": 2, "phrase": "a man in a hat ", "x": 5, "y": 6, "width": 20, "height": 30}
    (tmp_path / "region_descriptions.json").write_text(json.dumps([{"id": 2, "regions": [region]}]))
    (caption,) = read_captions(tmp_path)
    assert (caption.id, caption.key, caption.text) == ("7", "2.jpg", "a man in a hat")
    assert caption.phrases[0].boxes.tolist() == [[5, 6, 25, 36]] and caption.phrases[0].end == 14


def test_visual_genome_damage_is_told(tmp_path):
    bad = [{"image_id": 1, "objects": [], "relationships": [{"predicate": "on"}]}]
    (tmp_path / "scene_graphs.json").write_text(json.dumps(bad))
    with pytest.raises(HeedError, match="not Visual Genome's"):
        read_relations(tmp_path)


def test_names_of_coco_s_categories_in_captions_are_linked_to_their_boxes(tmp_path):
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "dog"},
               {"id": 2, "name": "dining table"}], "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 6], "iscrowd": 0},
        {"image_id": 1, "category_id": 1, "bbox": [9, 9, 2, 2], "iscrowd": 0},
        {"image_id": 1, "category_id": 2, "bbox": [1, 1, 5, 5], "iscrowd": 0},
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    objects = read_relations(tmp_path / "instances.json")
    assert objects[0].boxes.tolist() == [[0, 0, 5, 6], [9, 9, 11, 11], [1, 1, 6, 6]]
    (caption,) = coco_instances.named([Caption("1", "a.jpg", "Dogs on a dining table, a hotdog.")], objects)
    assert [(caption.text[p.start:p.end], p.kind, len(p.boxes)) for p in caption.phrases] == [
        ("Dogs", "dog", 2), ("dining table", "dining table", 1)]


@needs_shared
def test_the_captioned_and_boxed_photos_name_their_objects():
    folder = SHARED / "data" / "coco_photos"
    objects = read_relations(folder / "instances.json")
    captions = coco_instances.named(read_captions(folder / "captions.json"), objects)
    boxed = {image.key for image in objects if len(image.boxes)}
    assert len({caption.key for caption in captions} & boxed) == 87
    linked = [p for caption in captions for p in caption.phrases]
    assert len(linked) > 100 and all(len(p.boxes) for p in linked)
    assert sum(len(image.boxes) for image in objects) == sum(
        1 - note["iscrowd"] for note in json.loads((folder / "instances.json").read_text())["annotations"])


def test_senteval_lines_are_read_and_a_wrong_one_is_told(tmp_path):
    path = tmp_path / "tree_depth.txt"
    path.write_text("tr\t5\tA dog runs .\nte\t6\tIt is \"so\" .\n\n", encoding="utf-8")
    assert [(s.split, s.label, s.text) for s in senteval.read(path)] == [
        ("train", "5", "A dog runs ."), ("test", "6", 'It is "so" .')]
    path.write_text("tr\t5\tA dog\ndev\t5\tA cat\n")
    with pytest.raises(HeedError, match="Line 2 of"):
        senteval.read(path)
    assert senteval.files(tmp_path) == {"tree_depth": path}
    with pytest.raises(HeedError, match="has none of SentEval's"):
        senteval.files(tmp_path / "none")


@needs_shared
def test_real_probing_files_have_their_splits_and_labels():
    files = senteval.files(SHARED / "data" / "probing")
    assert set(files) == {"bigram_shift", "obj_number", "past_present", "sentence_length", "subj_number", "tree_depth"}
    assert Counter(s.split for s in senteval.read(files["bigram_shift"])) == {"train": 2464, "val": 528, "test": 528}
    assert {s.label for s in senteval.read(files["past_present"])} == {"PAST", "PRES"}


def test_boxes_are_float32_of_four_columns_even_where_there_are_none(tmp_path):
    (tmp_path / "scene_graphs.json").write_text('[{"image_id": 1, "objects": [], "relationships": []}]')
    (image,) = read_relations(tmp_path)
    assert image.boxes.shape == (0, 4) and image.boxes.dtype == np.float32
