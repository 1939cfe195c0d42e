"""Real and made videos through encoders into stores of clips: what is stored, failed and repeated."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import HeedError
from heed import main
from pipeline.clips import Clips
from pipeline.fields import clips_from_row
from pipeline.store import Store
from tests.pipeline.toy import shard_bytes

av = pytest.importorskip("av", reason="PyAV is not installed")
pytest.importorskip("timm", reason="timm is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ENCODER = ["--encoder", "timm:test_vit=random", "--inline", "--device", "cpu", "--decoders", "1"]


def video(path, seconds: float, fps: int = 10, colour=lambda time: int(25 * time)) -> None:
    """A video of one grey at a time, `colour` by time in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.bit_rate = 64, 48, 2_000_000
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), colour(number / fps), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def extract(source, store, *more) -> int:
    return main(["extract", "clips", str(source), str(store), *ENCODER, *more])


def clips_of(store, key) -> Clips:
    opened = Store.open(store)
    return clips_from_row(opened.row(opened.find(key)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos")
    video(path / "long.mp4", 7.3)
    video(path / "short.mp4", 0.5)
    video(path / "steps.mp4", 6.0, colour=lambda time: 40 * int(time / 2))
    (path / "broken.mp4").write_bytes((path / "long.mp4").read_bytes()[:900])
    (path / "notes.txt").write_text("no video")
    return path


def test_each_clip_has_the_feature_of_the_frame_in_its_middle(folder, tmp_path, capsys):
    from features.encoders import EncoderOptions, load_encoder
    from features.video import frames_at

    assert extract(folder, tmp_path / "store", "--dtype", "float32") == 3
    printed = capsys.readouterr().out
    assert "3 of 4 videos stored" in printed and "broken.mp4: " in printed
    encoder = load_encoder("timm:test_vit=random", EncoderOptions("cpu"))
    clips = clips_of(tmp_path / "store", "long.mp4")
    assert clips.spans.tolist() == [[0, 2], [2, 4], [4, 6], [6, pytest.approx(7.3)]]
    frames = [encoder.prepare(frame.image) for frame in frames_at(folder / "long.mp4", [1, 3, 5, 7])]
    expected = encoder.encode(np.stack(frames)[:, None])
    assert np.abs(clips.features - expected).max() < 1e-5 and np.ptp(expected, axis=0).max() > 1e-3
    assert clips_of(tmp_path / "store", "short.mp4").spans.tolist() == [[0, 0.5]]
    steps = clips_of(tmp_path / "store", "steps.mp4").features
    assert len(steps) == 3 and np.abs(np.diff(steps, axis=0)).max(1).min() > 1e-3


def test_windows_are_averaged_and_normalised_on_request(folder, tmp_path):
    extract(folder, tmp_path / "one", "--dtype", "float32")
    extract(folder, tmp_path / "half", "--dtype", "float32", "--clip-seconds", "1", "--last", "keep")
    extract(folder, tmp_path / "two", "--dtype", "float32", "--windows", "2", "--l2")
    half, two = (clips_of(tmp_path / name, "steps.mp4").features for name in ("half", "two"))
    mean = half.reshape(3, 2, -1).mean(1)  # the middles of a clip's halves are the middles of two clips half as long
    assert np.allclose(two, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert not np.allclose(np.linalg.norm(clips_of(tmp_path / "one", "steps.mp4").features, axis=1), 1, atol=0.1)


def test_lossless_frames_of_a_store_give_the_same_bytes_and_lossy_ones_nearly(folder, tmp_path, capsys):
    main(["extract", "frames", str(folder), str(tmp_path / "png"), "--fps", "1", "--image", "png", "--inline"])
    main(["extract", "frames", str(folder), str(tmp_path / "jpg"), "--fps", "1", "--quality", "95", "--inline"])
    for name in ("png", "jpg"):
        assert extract(tmp_path / name, tmp_path / f"of-{name}", "--shard-rows", "8") == 3
    assert extract(folder, tmp_path / "direct", "--shard-rows", "8") == 3
    assert "broken.mp4: has no frames: " in capsys.readouterr().out
    direct, png, jpg = (Store.open(tmp_path / name) for name in ("direct", "of-png", "of-jpg"))
    for key in ("long.mp4", "short.mp4", "steps.mp4"):
        for field in ("features", "spans", "duration"):
            assert np.array_equal(direct.row(direct.find(key))[field], png.row(png.find(key))[field])
        exact, near = (store.row(store.find(key))["features"].astype(np.float32) for store in (direct, jpg))
        assert np.abs(exact - near).max() < 0.05
    assert direct.identity.extractor["pictures"] == png.identity.extractor["pictures"] == "as decoded"
    assert jpg.identity.extractor["pictures"] == {"image": "jpg", "quality": 95}


def test_a_store_of_frames_that_lacks_the_frames_looked_at_is_refused(folder, tmp_path, capsys):
    main(["extract", "frames", str(folder), str(tmp_path / "frames"), "--fps", "1", "--size", "32", "--inline"])
    assert extract(tmp_path / "frames", tmp_path / "store", "--windows", "2") == 2
    assert "Extract frames with --fps 2," in capsys.readouterr().err
    main(["extract", "frames", str(folder), str(tmp_path / "keys"), "--keyframes", "--inline"])
    assert extract(tmp_path / "keys", tmp_path / "store") == 2
    assert "not chosen by a rate" in capsys.readouterr().err
    assert extract(tmp_path / "frames", tmp_path / "clips") == 3
    assert extract(tmp_path / "clips", tmp_path / "store") == 2
    assert "is a store of clips; clips are made of videos" in capsys.readouterr().err


def test_threads_and_batches_across_videos_do_not_change_what_is_stored(folder, tmp_path):
    extract(folder, tmp_path / "a", "--batch", "3", "--shard-rows", "8")
    extract(folder, tmp_path / "b", "--batch", "3", "--shard-rows", "8", "--decoders", "3")
    assert shard_bytes(tmp_path / "a") == shard_bytes(tmp_path / "b")
    extract(folder, tmp_path / "c", "--dtype", "float32", "--batch", "32", "--shard-rows", "1")
    for key in ("long.mp4", "short.mp4", "steps.mp4"):
        assert np.allclose(clips_of(tmp_path / "a", key).features, clips_of(tmp_path / "c", key).features, atol=5e-3)


def test_a_mended_video_is_stored_on_request_and_the_store_repairs_itself(folder, tmp_path, capsys):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("long.mp4", "broken.mp4"):
        (videos / name).write_bytes((folder / name).read_bytes())
    assert extract(videos, tmp_path / "store") == 3
    (videos / "broken.mp4").write_bytes((folder / "steps.mp4").read_bytes())
    assert extract(videos, tmp_path / "store", "--retry-failed") == 0
    before = shard_bytes(tmp_path / "store")
    shard = next((tmp_path / "store" / "shards").glob("*.arrow"))
    shard.write_bytes(b"damaged" + shard.read_bytes()[7:])
    assert main(["store", "repair", str(tmp_path / "store")]) in (0, 1)
    assert shard_bytes(tmp_path / "store") == before


def test_the_preset_is_the_published_recipe_and_nothing_else(folder, tmp_path, capsys):
    preset = [str(folder), str(tmp_path / "store"), "--preset", "qvhighlights", "--inline", "--device", "cpu"]
    assert main(["extract", "clips", *preset, "--encoder", "timm:test_vit=random"]) == 2
    assert "The preset qvhighlights is SlowFast and CLIP" in capsys.readouterr().err
    assert main(["extract", "clips", *preset, "--clip-seconds", "3"]) == 2
    assert main(["extract", "clips", *preset[:2], "--inline"]) == 2
    assert "Name an encoder" in capsys.readouterr().err


def test_the_preset_writes_a_store_for_each_encoder_as_wide_as_the_published(tmp_path, monkeypatch):
    from features.encoders import slowfast

    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.features.encoders.test_clip_image import clip_folder

    monkeypatch.setitem(slowfast.VARIANTS, "8x8_r50", (4, 7, 8))  # an eighth of the width, for time
    (tmp_path / "videos").mkdir()
    (tmp_path / "clip").mkdir()
    video(tmp_path / "videos" / "v.mp4", 3.2)
    assert main(["extract", "clips", str(tmp_path / "videos"), str(tmp_path / "qv"), "--preset", "qvhighlights",
                 "--encoder", f"clip:{clip_folder(tmp_path / 'clip')}", "slowfast:8x8_r50=random", "--batch", "2",
                 "--inline", "--device", "cpu"]) == 0
    slow, clip = (Store.open(tmp_path / "qv" / name) for name in ("slowfast", "clip"))
    assert slow.identity.fields["features"].inner == (2304 // 8,) and clip.identity.fields["features"].inner == (24,)
    assert len(clips_of(slow.path, "v.mp4").spans) == len(clips_of(clip.path, "v.mp4").spans) == 2
    assert slow.identity.extractor["clips"] == {"seconds": 2.0, "last": "half", "windows": 1,
                                                "pooling": "mean of windows", "l2": False}


def test_a_clip_without_length_is_refused_before_anything_is_written(folder, tmp_path):
    from pipeline.clip_features import EncodeClips

    with pytest.raises(HeedError, match="has no length"):
        EncodeClips("timm:test_vit=random", clip_seconds=0.0).open()
