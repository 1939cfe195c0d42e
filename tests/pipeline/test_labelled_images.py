import io

import pytest
from PIL import Image

from features.errors import HeedError
from features.images import decode_image
from features.video.sampling import Sampling
from pipeline.datasets.coco_captions import split_of
from pipeline.datasets.labelled_images import read_labelled_images
from pipeline.frames import ReadFrames
from pipeline.job import run_job
from pipeline.scenes.dataset import write_scenes
from pipeline.sources import VIDEO_SUFFIXES, open_source
from tests.make_video import make_video, number_of
from tests.pipeline.tars.made import made_tar


def picture(number):
    """A PNG whose pixels say which it is."""
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (number, 0, 255 - number)).save(file, "PNG")
    return file.getvalue()


def put(root, paths):
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(picture(number))


def shown(images):
    """Key -> the number in its pixels."""
    return {key: int(decode_image(images.files[i])[0, 0, 0]) for i, key in enumerate(images.keys)}


def test_imagenets_folders_are_labelled_by_class_and_val_stands_for_a_missing_test(tmp_path):
    put(tmp_path, ["train/n02/b.png", "train/n01/a.x.png", "train/n01/sub/c.png", "val/n02/d.png"])
    train, val, test = (read_labelled_images(tmp_path, split) for split in ("train", "val", "test"))
    assert dict(zip(train.keys, train.labels, strict=True)) == {
        "n01/a.x.png": "n01", "n01/sub/c.png": "n01", "n02/b.png": "n02"}
    assert shown(train) == {"n02/b.png": 0, "n01/a.x.png": 1, "n01/sub/c.png": 2} and train.classes() == ("n01", "n02")
    assert list(val.keys) == list(test.keys) == ["n02/d.png"]


def test_class_folders_alone_are_split_by_their_keys(tmp_path):
    put(tmp_path, [f"{'ab'[i % 2]}/{i}.png" for i in range(40)])
    found = {split: read_labelled_images(tmp_path, split, 0.5) for split in ("train", "val", "test")}
    for split, images in found.items():
        assert all(split_of(key, 0.5) == split for key in images.keys)
    assert sorted(key for images in found.values() for key in images.keys) == sorted(
        f"{'ab'[i % 2]}/{i}.png" for i in range(40))


def test_tars_take_the_class_beside_the_picture_and_numbers_sort_as_numbers(tmp_path):
    for split, numbers in (("train", (2, 10, 9)), ("val", (10,))):
        members = [(f"{n:03d}.{part}", content) for n in numbers
                   for part, content in (("png", picture(n)), ("cls", str(n).encode()), ("json", b"{}"))]
        (tmp_path / f"in-{split}-0.tar").write_bytes(made_tar(members))
    train = read_labelled_images(tmp_path / "in-{split}-*.tar", "train")
    assert shown(train) == {"002": 2, "010": 10, "009": 9}
    assert [int(name) for name in train.classes()] == [2, 9, 10]
    assert list(read_labelled_images(tmp_path / "in-{split}-*.tar", "val").keys) == ["010"]
    (tmp_path / "bare.tar").write_bytes(made_tar([(f"{n}.png", picture(n)) for n in range(30)]))
    with pytest.raises(HeedError, match="no part cls"):
        read_labelled_images(tmp_path / "bare.tar", "train")


def test_scenes_are_labelled_by_their_setting(tmp_path):
    write_scenes(tmp_path, 20, size=32)
    train, test = (read_labelled_images(tmp_path, split) for split in ("train", "test"))
    assert len(train) == 16 and len(test) == 2 and not set(train.keys) & set(test.keys)
    assert decode_image(train.files[0]).shape == (32, 32, 3)


def test_a_store_of_frames_gives_the_middle_frame(tmp_path):
    pytest.importorskip("av")
    for name in ("dance/1.mp4", "run/2.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True)
        make_video(tmp_path / "videos" / name, range(0, 1000, 200))
    source = open_source(str(tmp_path / "videos"), VIDEO_SUFFIXES)
    run_job(ReadFrames(Sampling(count=3)), source, tmp_path / "store", inline=True)
    images = read_labelled_images(tmp_path / "store", "train", 0.0)
    assert list(images.labels) == ["dance", "run"]
    assert number_of(decode_image(images.files[1])) in (1, 2, 3)


@pytest.mark.parametrize(("path", "words"), [
    ("absent", "no folder"), ("x.tar", "no tars"), ("empty", "holds no images"), ("loose", "in no class's folder"),
])
def test_what_is_no_set_of_labelled_images_is_refused(tmp_path, path, words):
    (tmp_path / "empty").mkdir()
    put(tmp_path, ["loose/a.png"])
    with pytest.raises(HeedError, match=words):
        read_labelled_images(tmp_path / path, "train")
    with pytest.raises(HeedError, match="no split"):
        read_labelled_images(tmp_path, "dev")
