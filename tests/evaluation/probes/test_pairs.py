import numpy as np
import pytest

from evaluation.probes.merging import merge
from evaluation.probes.pairs import make_pairs, mismatched, open_store
from features.errors import HeedError
from pipeline.annotations import Caption, Phrase, Relations
from pipeline.datasets import read_captions, read_relations
from tests.training.truth_store import truth_store

BOXES = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)


def test_annotated_boxes_come_first_and_detected_ones_fill_up():
    detected = np.array([[0, 0, 10, 9], [60, 0, 70, 10], [0, 50, 9, 60], [70, 50, 80, 60]], np.float32)
    found = merge(BOXES, BOXES[::-1], detected, 5)
    assert found.given.tolist() == [2, 1, 0] and found.places.tolist() == [0, 1, 2]
    assert found.detected.tolist() == [1, 2]  # the first overlaps an annotated box by 0.9
    assert (found.boxes == np.concatenate([BOXES, detected[[1, 2]]])).all()


def test_an_annotated_box_that_the_store_lacks_or_that_does_not_fit_has_no_region():
    found = merge(BOXES, BOXES[:2], np.zeros((0, 4), np.float32), 36)
    assert found.places.tolist() == [0, 1, -1]
    assert merge(BOXES, BOXES, np.zeros((0, 4), np.float32), 2).places.tolist() == [0, 1, -1]


def test_without_given_boxes_the_nearest_detected_region_stands_in():
    detected = np.array([[21, 0, 31, 10], [0, 0, 10, 7], [100, 0, 110, 10]], np.float32)
    found = merge(BOXES, None, detected, 36)
    assert found.places.tolist() == [1, 0, -1] and found.detected.tolist() == [0, 1, 2]
    assert merge(BOXES, None, detected, 36, threshold=0.75).places.tolist() == [-1, 0, -1]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return truth_store(tmp_path_factory.mktemp("scenes"), 30)


def test_pairs_of_scenes_know_which_region_each_phrase_names(scenes):
    store, folder = scenes
    captions, objects = read_captions(folder), read_relations(folder)
    found = make_pairs(captions, objects, open_store(store), captions_each=2)
    assert len(found) == 60 and found.left_out == 0
    truth = {caption.id: caption for caption in captions}
    for pair in found.pairs:
        regions = found.regions(pair.key)
        assert (regions.boxes == pair.boxes).all() and pair.annotated.all()
        for link, phrase in zip(pair.links, truth[pair.id].phrases, strict=True):
            assert (link.start, link.end) == (phrase.start, phrase.end)
            assert {pair.boxes[i].tobytes() for i in link.regions} == {box.tobytes() for box in phrase.boxes}
        assert len(pair.relations) == len(next(o for o in objects if o.key == pair.key).triples)
    assert len({(pair.key, pair.split) for pair in found.pairs}) == 30  # an image has one split


def test_the_images_drawn_follow_from_the_seed_alone(scenes):
    store, folder = scenes
    captions, objects = read_captions(folder), read_relations(folder)
    draw = [make_pairs(order, objects, open_store(store), images=8, seed=seed).digest()
            for order, seed in ((captions, 0), (captions, 1), (captions, 0))]
    assert draw[0] == draw[2] != draw[1]


def test_a_mismatched_caption_is_another_image_s_of_the_same_split(scenes):
    store, folder = scenes
    found = make_pairs(read_captions(folder), read_relations(folder), open_store(store))
    other = mismatched(found, 3)
    owner = {pair.caption: pair for pair in found.pairs}
    for pair, original in zip(other.pairs, found.pairs, strict=True):
        assert pair.caption != original.caption and owner[pair.caption].split == pair.split
        assert not pair.links and pair.relations == original.relations
    assert sorted(pair.caption for pair in other.pairs) == sorted(pair.caption for pair in found.pairs)


def test_phrases_of_one_box_and_objects_of_the_same_box_are_one_region(scenes):
    store, folder = scenes
    image = read_relations(folder)[0]
    near = image.boxes[:1] + np.float32(0.1)
    caption = Caption("x", image.key, "a thing and a thing", (Phrase(0, 7, near), Phrase(12, 19, near)))
    found = make_pairs([caption], [Relations(image.key, image.boxes, image.names, ())], open_store(store))
    assert [link.regions for link in found.pairs[0].links] == [(0,), (0,)]


def test_captions_of_other_images_than_the_store_s_are_refused(scenes):
    with pytest.raises(HeedError, match="None of the 1 captioned images"):
        make_pairs([Caption("1", "elsewhere.jpg", "a dog")], [], open_store(scenes[0]))
