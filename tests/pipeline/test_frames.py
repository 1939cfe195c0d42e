"""Videos into a store of frames, through the command line."""

import importlib.util
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from features.video import VideoSource, frames_at, probe, sample_times
from heed import main
from pipeline.fields import frames_from_row
from pipeline.frames import default_rows, video_source
from pipeline.sources import VIDEO_SUFFIXES, Item, Source, open_source
from pipeline.store import Store
from tests.make_video import make_video
from tests.pipeline.flaky import flaky_server
from tests.pipeline.toy import shard_bytes

pytest.importorskip("av", reason="videos need PyAV")
NAMES = ["a/one.mp4", "a/two.two.mkv", "b/three.webm"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        codec = "libvpx" if name.endswith("webm") else "libx264"
        make_video(folder / name, list(range(0, 1000 * (number + 1), 100)), codec=codec)
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """The bytes of a video of two seconds; a part of them is that part of its frames."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    path = tmp_path_factory.mktemp("noise") / "v.mkv"
    return make_video(path, list(range(0, 2000, 100)), draw=lambda number: noise[number]).read_bytes()


def extract(source, store, *more):
    return main(["extract", "frames", str(source), str(store), "--inline", *map(str, more)])


def frames_of(store, key):
    store = Store.open(store)
    return frames_from_row(store.row(store.find(key)))


@pytest.mark.parametrize("format", ["webdataset", "arrow"])
def test_a_row_holds_the_frames_that_the_rate_asks_for(videos, tmp_path, capsys, format):
    assert extract(videos, tmp_path / "s", "--fps", 4, "--image", "png", "--format", format) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 videos stored" in printed and "24 frames, " in printed
    assert "1 files of the source were passed over: their names are no videos'" in printed
    store = Store.open(tmp_path / "s")
    assert list(store.keys()) == NAMES and store.identity.kind == "frames"
    for name in NAMES:
        found, info = frames_of(tmp_path / "s", name), probe(videos / name)
        expected = list(frames_at(videos / name, sample_times(info, fps=4)))
        assert found.duration == info.duration and found.start == 0 and found.note == ""
        assert found.times.tolist() == [frame.time for frame in expected]
        assert all((found[i].image == frame.image).all() for i, frame in enumerate(expected))
    assert main(["store", "verify", str(tmp_path / "s")]) == 0


def test_frames_by_number_keyframes_and_given_times(videos, tmp_path):
    assert extract(videos, tmp_path / "count", "--count", 2) == 0
    assert frames_of(tmp_path / "count", NAMES[0]).times.tolist() == [0.2, 0.7]
    assert extract(videos, tmp_path / "keys", "--keyframes") == 0
    assert frames_of(tmp_path / "keys", NAMES[1]).times.tolist() == [0.0, 1.2]
    rows = [{"key": f"k{number}", "path": str(videos / name), "times": times}
            for number, (name, times) in enumerate(zip(NAMES, [[0.95, 0.31], [], [9]], strict=True))]
    listed = tmp_path / "list.jsonl"
    listed.write_text("\n".join(map(json.dumps, rows)))
    assert extract(listed, tmp_path / "times", "--times") == 3
    assert frames_of(tmp_path / "times", "k0").times.tolist() == [0.3, 0.9]
    reasons = [failure["reason"] for failure in Store.open(tmp_path / "times").failures()]
    assert reasons[0] == "no times are given for it" and "where one at 9.00 s was expected" in reasons[1]


def test_other_times_for_a_stored_video_are_refused(videos, tmp_path, capsys):
    listed = tmp_path / "list.jsonl"
    for times, status in (([0.1], 0), ([0.2], 2)):
        listed.write_text(json.dumps({"key": "k", "path": str(videos / NAMES[0]), "times": times}))
        assert extract(listed, tmp_path / "s", "--times") == status
    assert "The times given for 'k' are not those" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "size"), [
    (["--size", 24], (32, 24)), (["--size", 40, 20], (40, 20)), ([], (64, 48))])
def test_frames_have_the_size_asked_for(videos, tmp_path, options, size):
    assert extract(videos, tmp_path / "s", "--count", 1, *options) == 0
    row = Store.open(tmp_path / "s").row(0)
    assert (row["width"], row["height"]) == size == Image.open(io.BytesIO(row["jpg"][0])).size


def test_videos_in_a_tar_give_the_same_rows(videos, tmp_path):
    with tarfile.open(tmp_path / "videos.tar", "w") as tar:
        for name in NAMES:
            tar.add(videos / name, name)
    assert extract(videos, tmp_path / "folder", "--fps", 2) == 0
    assert extract(tmp_path / "videos.tar", tmp_path / "tar", "--fps", 2) == 0
    assert shard_bytes(tmp_path / "folder") == shard_bytes(tmp_path / "tar")


@pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")
@pytest.mark.parametrize("ranges", [True, False])
def test_videos_at_urls_give_the_same_frames(noisy, tmp_path, ranges):
    (tmp_path / "v.mkv").write_bytes(noisy)
    rows = []
    with flaky_server(tmp_path, ranges) as web:
        web.failures = {"/gone.mkv?sign=secret": ["forbidden"] * 99}
        for key in ("v.mkv", "gone.mkv", "none.mkv"):
            rows.append({"key": key, "path": f"{web.url}/{key}{'' if key == 'v.mkv' else '?sign=secret'}"})
        (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
        assert extract(tmp_path / "list.jsonl", tmp_path / "s", "--fps", 4) == 3
    store = Store.open(tmp_path / "s")
    assert [failure["key"] for failure in store.failures()] == ["gone.mkv", "none.mkv"]
    assert all(failure["reason"].startswith("cannot be read: ") for failure in store.failures())
    assert not any("secret" in failure["reason"] for failure in store.failures())
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "v.mkv").write_bytes(noisy)
    assert extract(tmp_path / "local", tmp_path / "l", "--fps", 4) == 0
    assert list(store.row(0)["jpg"]) == list(Store.open(tmp_path / "l").row(0)["jpg"])


def test_every_bad_video_is_listed_with_its_reason_and_can_be_tried_again(noisy, tmp_path, capsys):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "good.mkv").write_bytes(noisy)
    (folder / "cut.mkv").write_bytes(noisy[: len(noisy) // 3])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video")
    make_video(folder / "sound.mp4", [], sound=np.zeros(4000), sound_codec="aac")
    assert extract(folder, tmp_path / "s", "--fps", 2) == 3
    printed = capsys.readouterr().out
    for name, reason in (("cut.mkv", "cut off"), ("empty.mp4", "0 bytes"), ("text.mp4", "no video"),
                         ("sound.mp4", "only audio")):
        assert any(line.startswith(f"  {name}: ") and reason in line for line in printed.splitlines())
    (folder / "cut.mkv").write_bytes(noisy)
    assert extract(folder, tmp_path / "s", "--fps", 2, "--retry-failed") == 3
    store = Store.open(tmp_path / "s")
    assert sorted(store.keys()) == ["cut.mkv", "good.mkv"]
    assert list(store.row(store.find("cut.mkv"))["jpg"]) == list(store.row(store.find("good.mkv"))["jpg"])


def test_what_can_be_decoded_of_a_damaged_video_is_stored_with_a_note_if_asked(noisy, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "cut.mkv").write_bytes(noisy[: len(noisy) // 3])
    (tmp_path / "whole.mkv").write_bytes(noisy)
    assert extract(tmp_path / "videos", tmp_path / "s", "--fps", 10, "--partial", "--image", "png") == 0
    found = frames_of(tmp_path / "s", "cut.mkv")
    assert 2 < len(found) < 20 and "the pictures end at 0." in found.note
    assert found.duration == probe(tmp_path / "whole.mkv").duration
    first = list(frames_at(tmp_path / "whole.mkv", [0, 0.1, 0.2]))
    assert all((found[number].image == frame.image).all() for number, frame in enumerate(first))


def test_a_second_run_has_nothing_to_do_and_a_lost_shard_is_made_again(videos, tmp_path, capsys):
    assert extract(videos, tmp_path / "s", "--fps", 1) == 0
    before = shard_bytes(tmp_path / "s")
    assert extract(videos, tmp_path / "s", "--fps", 1) == 0
    assert "for 0." in capsys.readouterr().out
    (tmp_path / "s" / "shards" / "000001.tar").unlink()
    assert main(["store", "repair", str(tmp_path / "s")]) == 0
    assert shard_bytes(tmp_path / "s") == before
    assert extract(videos, tmp_path / "s", "--fps", 2) == 2


def test_the_other_format_holds_the_same(videos, tmp_path):
    assert extract(videos, tmp_path / "tars", "--fps", 3) == 0
    assert main(["store", "convert", str(tmp_path / "tars"), str(tmp_path / "arrows"), "--format", "arrow",
                 "--shard-rows", "2"]) == 0
    for name in NAMES:
        one, other = frames_of(tmp_path / "tars", name), frames_of(tmp_path / "arrows", name)
        assert list(one.files) == list(other.files) and one.times.tolist() == other.times.tolist()


@pytest.mark.parametrize("options", [
    [], ["--fps", "1", "--count", "2"], ["--fps", "-1"], ["--count", "1", "--size", "0"],
    ["--count", "1", "--size", "1", "2", "3"], ["--count", "1", "--quality", "0"]])
def test_wrong_options_are_told_before_anything_is_written(videos, tmp_path, options):
    assert extract(videos, tmp_path / "s", *options) == 2
    assert not (tmp_path / "s").exists()


def test_shards_are_of_some_videos_each_and_of_a_gigabyte_at_most():
    def rows(count, size):
        return default_rows(Source("", [Item(str(number), "", size) for number in range(count)], 0))

    assert rows(3, 1000) == 1 and rows(160, 1000) == 10 and rows(100_000, 1000) == 512
    assert rows(10_000, 10 << 20) == 102 and rows(50, 4 << 30) == 1 and rows(1000, -1) == 16


def test_a_member_of_a_tar_is_a_stretch_and_a_file_is_whole():
    assert video_source(Item("k", "v.mp4", 100)) == VideoSource("v.mp4")
    assert video_source(Item("k", "all.tar", 100, 512)) == VideoSource("all.tar", 512, 100)


def test_a_source_of_videos_passes_images_over(videos, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    make_video(tmp_path / "film.MKV", [0])
    source = open_source(str(tmp_path), VIDEO_SUFFIXES, "videos")
    assert [item.key for item in source.items] == ["film.MKV"] and source.skipped == 1


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_workers_on_ray_give_the_bytes_that_one_process_gives(videos, tmp_path):
    assert extract(videos, tmp_path / "here", "--fps", 2) == 0
    assert main(["extract", "frames", str(videos), str(tmp_path / "ray"), "--fps", "2", "--actors", "2"]) == 0
    assert shard_bytes(tmp_path / "here") == shard_bytes(tmp_path / "ray")
