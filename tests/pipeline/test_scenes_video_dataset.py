"""The videos of a scenes folder: layout, what a kill leaves, and the fields' own formats."""

import json
import re

import pytest

import pipeline.scenes.video.dataset as dataset
from features.errors import HeedError
from pipeline.commands.scenes import Scenes
from pipeline.scenes import write_scenes
from pipeline.scenes.video import KINDS, boxes_at, queries, video, write_videos

pytest.importorskip("av")
SMALL = {"seed": 3, "seconds": 10, "size": 32, "fps": 4}


@pytest.fixture(autouse=True)
def parts_of_four(monkeypatch):
    monkeypatch.setattr(dataset, "PART", 4)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos") / "scenes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "PART", 4)
        write_videos(folder, 10, **SMALL)
    return folder


def rows(folder):
    return [json.loads(line) for part in sorted((folder / "video_annotations").iterdir()) for line in part.open()]


def test_a_folder_holds_videos_parts_and_identity(whole):
    files = contents(whole)
    published = {"MSRVTT_data.json"} | {name for split in ("train", "val", "test") for name in (
        f"highlight_{split}_release.jsonl", f"MAD_{split}.json", f"{split}.caption_coco_format.json")}
    assert set(files) == {"videos.json", *(f"videos/{i:06d}.mp4" for i in range(10)),
                          *(f"video_annotations/{i:06d}.jsonl" for i in (0, 4, 8)),
                          *(f"published/{name}" for name in published)}
    header = json.loads(files["videos.json"])
    assert {name: header[name] for name in SMALL} == SMALL
    assert (header["version"], header["videos"], header["kinds"]) == (1, 10, list(KINDS))


def test_annotations_are_the_video_s_truth(whole):
    found = rows(whole)
    assert [row["key"] for row in found] == [f"{i:06d}.mp4" for i in range(10)]
    assert [row["split"] for row in found] == ["train"] * 8 + ["val", "test"]
    for row in found:
        of = video(3, row["index"], 10)
        happened = [(e["kind"], e["start"], e["end"], e["object"], e["other"], e["detail"]) for e in row["events"]]
        assert happened == [(e.kind, e.start, e.end, e.actor, e.other, e.detail) for e in of.events]
        assert [m["text"] for m in row["moments"]] == [query.caption.text for query in queries(of)]
        assert len(row["captions"]) == 5
        assert len(row["tracks"]) == len(row["objects"]) == len(of.actors)
        for i in range(row["seconds"] * row["track_fps"]):
            truth = boxes_at(of, i / row["track_fps"], 32)
            for number, track in enumerate(row["tracks"]):
                assert (track[i] is None) == (number not in truth)
                assert track[i] is None or track[i] == pytest.approx(truth[number], abs=0.051)


def test_a_killed_run_continues_without_doing_a_finished_part_again(whole, tmp_path, monkeypatch):
    other = tmp_path / "killed"

    def die(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_videos(other, 6, **SMALL, progress=die)
    assert [path.name for path in (other / "video_annotations").iterdir()] == ["000000.jsonl"]
    made = []
    monkeypatch.setattr(dataset, "video", lambda *of: made.append(of[1]) or video(*of))
    write_videos(other, 6, **SMALL)
    assert made == [4, 5]
    for path in (other / "videos").iterdir():
        assert path.read_bytes() == (whole / "videos" / path.name).read_bytes()
    assert rows(other) == rows(whole)[:6]


def test_videos_grow_but_never_change(whole, tmp_path):
    folder = tmp_path / "grown"
    write_videos(folder, 2, **SMALL)
    write_videos(folder, 3, **SMALL)
    assert rows(folder) == rows(whole)[:3]
    assert (folder / "videos/000001.mp4").read_bytes() == (whole / "videos/000001.mp4").read_bytes()
    for name, wrong in (("seed", 4), ("seconds", 12), ("size", 48), ("fps", 8)):
        with pytest.raises(HeedError, match=f"not {wrong}"):
            write_videos(folder, 3, **{**SMALL, name: wrong})
    with pytest.raises(HeedError, match="holds 3 videos already"):
        write_videos(folder, 2, **SMALL)


def test_pictures_and_videos_share_a_folder_in_either_order(tmp_path):
    write_videos(tmp_path / "a", 1, **SMALL)
    write_scenes(tmp_path / "a", 1, seed=3, size=32)
    write_scenes(tmp_path / "b", 1, seed=3, size=32)
    write_videos(tmp_path / "b", 1, **SMALL)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").write_text("x")
    with pytest.raises(HeedError, match="is not empty"):
        write_videos(tmp_path / "c", 1)


def test_nothing_to_render_is_told(tmp_path):
    with pytest.raises(HeedError, match="nothing to render"):
        Scenes(tmp_path / "x", images=0).run()
    with pytest.raises(HeedError, match="1 to 60"):
        write_videos(tmp_path / "x", 1, fps=0)


def test_qvhighlights_lines_keep_that_format_s_promises(whole):
    qids = []
    for split, numbers in (("train", range(8)), ("val", [8]), ("test", [9])):
        text = (whole / "published" / f"highlight_{split}_release.jsonl").read_text()
        assert not text.endswith("\n")  # as published
        for line in map(json.loads, text.splitlines()):
            assert list(line) == ["qid", "query", "duration", "vid", "relevant_windows", "relevant_clip_ids",
                                  "saliency_scores"]
            assert int(line["vid"]) in numbers and (whole / "videos" / (line["vid"] + ".mp4")).exists()
            ids = [clip for start, end in line["relevant_windows"] for clip in range(start // 2, end // 2)]
            assert ids == line["relevant_clip_ids"] and ids and max(ids) < line["duration"] // 2
            assert [len(scores) for scores in line["saliency_scores"]] == [3] * len(ids)
            qids.append(line["qid"])
    assert len(set(qids)) == len(qids) == sum(len(row["moments"]) for row in rows(whole))


def test_msrvtt_and_mad_have_their_keys(whole):
    data = json.loads((whole / "published" / "MSRVTT_data.json").read_text())
    assert [video["split"] for video in data["videos"]] == ["train"] * 8 + ["validate", "test"]
    assert len(data["sentences"]) == 50 and {"sen_id", "video_id", "caption"} == set(data["sentences"][0])
    assert {s["video_id"] for s in data["sentences"]} == {v["video_id"] for v in data["videos"]}
    coco = json.loads((whole / "published" / "test.caption_coco_format.json").read_text())
    assert [a["image_id"] for a in coco["annotations"]] == [9] * 5 and [i["id"] for i in coco["images"]] == [9]
    mad = json.loads((whole / "published" / "MAD_train.json").read_text())
    assert all(re.fullmatch(r"\d{6}-\d+", key) and key.startswith(said["movie"]) for key, said in mad.items())
    assert all(0 <= said["ext_timestamps"][0] < said["ext_timestamps"][1] <= said["movie_duration"] == 10.0
               for said in mad.values())
