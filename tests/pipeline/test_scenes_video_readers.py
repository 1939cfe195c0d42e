"""What the readers give of a scenes folder's videos."""

import json
from pathlib import Path

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.datasets import qvhighlights, read_captions, read_moments
from pipeline.datasets.scenes_videos import read_descriptions, read_objects
from pipeline.scenes import write_scenes
from pipeline.scenes.video import boxes_at, descriptions, video, video_captions, write_videos

SMALL = {"seed": 3, "seconds": 10, "size": 32, "fps": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("av")
    out = tmp_path_factory.mktemp("videos") / "scenes"
    write_videos(out, 10, **SMALL)
    return out


def test_moments_are_those_of_the_published_file(folder):
    for split in ("train", "val", "test"):
        own = read_moments(folder, split)
        published = qvhighlights.read(folder / "published" / f"highlight_{split}_release.jsonl")
        assert len(own) == len(published) > 0
        for a, b in zip(own, published, strict=True):
            assert (a.id, a.text, a.duration) == (b.id, b.text, b.duration) and Path(a.key).stem == b.key
            for name in ("windows", "clips", "saliency"):
                one, other = getattr(a, name), getattr(b, name)
                assert np.array_equal(one, other) and one.dtype == other.dtype
    assert len(read_moments(folder)) == sum(len(read_moments(folder, s)) for s in ("train", "val", "test"))
    assert len(read_moments(folder / "published", "val")) == len(read_moments(folder, "val"))


def test_captions_and_descriptions_are_the_videos_own(folder):
    captions, said = read_captions(folder), read_descriptions(folder)
    truth = [(i, c.text) for i in range(10) for c in video_captions(video(3, i, 10))]
    assert [(int(c.key[:6]), c.text) for c in captions] == truth
    assert len({c.id for c in captions}) == 50 and not any(c.phrases for c in captions)
    truth = [(i, d.caption.text, d.start, d.end) for i in range(10) for d in descriptions(video(3, i, 10))]
    assert [(int(d.key[:6]), d.text, d.start, d.end) for d in said] == truth
    assert {c.key for c in read_captions(folder, "test")} == {d.key for d in read_descriptions(folder, "test")}


def test_pictures_come_first_where_a_folder_has_both(folder, tmp_path):
    write_videos(tmp_path, 1, **SMALL)
    write_scenes(tmp_path, 1, seed=3, size=32)
    assert read_captions(tmp_path)[0].key == "000000.png"
    assert read_captions(tmp_path, format="scenes-videos")[0].key == "000000.mp4"


def test_objects_are_where_the_video_has_them(folder):
    for truth in read_objects(folder):
        of = video(3, int(truth.key[:6]), 10)
        assert truth.boxes.shape == (len(of.actors), 20, 4) and truth.boxes.dtype == np.float32
        assert truth.shapes == tuple(actor.shape for actor in of.actors)
        for i, time in enumerate(truth.times):
            at = boxes_at(of, float(time), 32)
            assert {n for n in range(len(of.actors)) if not np.isnan(truth.boxes[n, i]).any()} == set(at)
            assert all(np.abs(truth.boxes[n, i] - box).max() <= 0.051 for n, box in at.items())
        assert [(e.kind, e.start, e.object) for e in truth.events] == [(e.kind, e.start, e.actor) for e in of.events]


def test_words_of_sentences_lead_to_the_objects_they_name(folder):
    truth = {objects.key: objects for objects in read_objects(folder)}
    for row in [*read_moments(folder), *read_captions(folder), *read_descriptions(folder)]:
        of = truth[row.key]
        for start, end, named in of.sentences[row.id]:
            words = row.text[start:end]
            assert words == words.strip() and words.lower().startswith(("a ", "an ", "the "))
            assert len(named) == 1 and named[0] < len(of.shapes)


def test_what_is_missing_or_damaged_is_told(folder, tmp_path):
    with pytest.raises(HeedError, match="--videos N"):
        read_objects(tmp_path)
    (tmp_path / "video_annotations").mkdir()
    (tmp_path / "videos.json").write_text(json.dumps({"videos": 3}))
    with pytest.raises(HeedError, match="0 of its 3 videos"):
        read_moments(tmp_path)
    (tmp_path / "video_annotations" / "000000.jsonl").write_text("{broken\n")
    with pytest.raises(HeedError, match=r"000000\.jsonl is damaged"):
        read_captions(tmp_path)
