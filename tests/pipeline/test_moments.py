"""Batches of moments against a literal restatement of the published loader, and from real videos end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from features.errors import HeedError
from heed import main
from pipeline.annotations import Moment
from pipeline.datasets import read_moments
from pipeline.moments import StoredKeys, moment_batch, moment_stream
from pipeline.sampler import Order
from pipeline.store import Store
from tests.shared import SHARED, needs_shared

IN_ORDER = Order(shuffle="none")
VIDEOS = {"v_a-1_0.0_150.0": (77, 75), "vb": (20, 21), "vc": (1, 1)}
"""Clips of each video in the slowfast and in the clip features."""


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Features as QVHighlights publishes them, and their queries."""
    root, draw = tmp_path_factory.mktemp("qv"), np.random.default_rng(0)
    for folder in ("slowfast", "clip", "text"):
        (root / folder).mkdir()
    for key, (slow, clip) in VIDEOS.items():
        np.savez(root / "slowfast" / f"{key}.npz", features=draw.normal(size=(slow, 12)).astype(np.float16))
        np.savez(root / "clip" / f"{key}.npz", features=3 * draw.normal(size=(clip, 5)).astype(np.float16))
    lines = []
    for qid, key in enumerate([*VIDEOS, *VIDEOS], 10):
        tokens = 4 + 9 * (qid % 5)
        np.savez(root / "text" / f"qid{qid}.npz", last_hidden_state=draw.normal(size=(tokens, 6)).astype(np.float32),
                 pooler_output=draw.normal(size=6).astype(np.float32))
        clips = min(VIDEOS[key])
        ids = sorted(draw.choice(clips, min(3, clips), replace=False).tolist())
        lines.append({"qid": qid, "query": "q", "vid": key, "duration": 2 * clips, "relevant_clip_ids": ids,
                      "relevant_windows": [[2 * n, 2 * n + 2] for n in ids],
                      "saliency_scores": draw.integers(0, 5, (len(ids), 3)).tolist()})
    (root / "highlight_train_release.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for folder in ("slowfast", "clip", "text"):
        main(["import", "qvhighlights-npz", str(root / folder), str(root / f"{folder}-store"), "--dtype", "float32"])
    return root


def published_inputs(root: Path, line: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Video, text and windows of one query by the steps of Moment-DETR's start_end_dataset.py."""
    def normalised(array: np.ndarray) -> np.ndarray:
        return array / (np.linalg.norm(array, axis=-1, keepdims=True) + 1e-5)

    parts = [normalised(np.load(root / name / f"{line['vid']}.npz")["features"][:75].astype(np.float32))
             for name in ("slowfast", "clip")]
    length = min(map(len, parts))
    start = np.arange(length) / length
    fractions = np.stack([start, start + 1 / length], 1)
    video = np.concatenate([*(part[:length] for part in parts), fractions], 1)
    text = np.load(root / "text" / f"qid{line['qid']}.npz")["last_hidden_state"].astype(np.float32)[:32]
    return video, normalised(text), np.array(line["relevant_windows"]) / (length * 2)


def test_batches_are_what_the_published_loader_makes(published):
    moments = read_moments(published / "highlight_train_release.jsonl")
    stores = {name: Store.open(published / f"{name}-store") for name in ("slowfast", "clip")}
    stream = moment_stream(moments, stores, Store.open(published / "text-store"), 4, IN_ORDER)
    lines = [json.loads(line) for line in (published / "highlight_train_release.jsonl").read_text().splitlines()]
    seen = []
    for batch in stream.epoch(0).batches():
        inputs = moment_batch(batch, ("slowfast", "clip"))
        for row, moment in enumerate(inputs.moments):
            line = next(line for line in lines if moment.id == f"qid{line['qid']}")
            video, text, windows = published_inputs(published, line)
            clips, tokens = len(video), len(text)
            assert (inputs.clips[row], inputs.tokens[row]) == (clips, tokens)
            assert np.abs(inputs.video[row, :clips] - video).max() < 1e-6 and not inputs.video[row, clips:].any()
            assert np.abs(inputs.text[row, :tokens] - text).max() < 1e-6 and not inputs.text[row, tokens:].any()
            assert np.abs(inputs.windows[row] - windows).max() < 1e-6 and inputs.seconds[row] == 2 * clips
            ids = line["relevant_clip_ids"]
            assert np.flatnonzero(inputs.rated[row]).tolist() == np.flatnonzero(inputs.inside[row]).tolist() == ids
            assert inputs.saliency[row, ids].tolist() == line["saliency_scores"]
            assert inputs.saliency[row].sum() == np.sum(line["saliency_scores"])
            seen.append(moment.id)
        assert inputs.video_mask.sum(1).tolist() == inputs.clips.tolist()
        assert inputs.text_mask.sum(1).tolist() == inputs.tokens.tolist()
    assert seen == [f"qid{line['qid']}" for line in lines]


def test_limits_and_parts_can_be_left_out(published):
    moments = read_moments(published / "highlight_train_release.jsonl")[:3]
    stream = moment_stream(moments, {"slowfast": Store.open(published / "slowfast-store")},
                           Store.open(published / "text-store"), 3, IN_ORDER)
    batch = stream.epoch(0)[0]
    whole = moment_batch(batch, ("slowfast",), most_clips=0, most_tokens=0, normalise=False, fractions=False)
    assert whole.clips.tolist() == [77, 20, 1] and whole.video.shape == (3, 77, 12)
    raw = np.load(published / "slowfast" / "vb.npz")["features"].astype(np.float32)
    assert (whole.video[1, :20] == raw).all()
    cut = moment_batch(batch, ("slowfast",), most_clips=5, most_tokens=2)
    assert cut.clips.tolist() == [5, 5, 1] and cut.tokens.tolist() == [2, 2, 2] and cut.seconds.tolist() == [10, 10, 2]
    for windows, moment, end in zip(cut.windows, moments, cut.seconds, strict=True):
        assert len(windows) == (moment.windows[:, 0] < end).sum() and (windows <= 1).all()


def test_stores_of_other_kinds_or_clips_are_refused(published, tmp_path):
    moments = read_moments(published / "highlight_train_release.jsonl")
    clip, text = Store.open(published / "clip-store"), Store.open(published / "text-store")
    with pytest.raises(HeedError, match="given as clip, is a store of tokens, and one of clips is needed"):
        moment_stream(moments, {"clip": text}, text, 2)
    with pytest.raises(HeedError, match="None of the 1 samples has a row"):
        moment_stream([Moment("qid10", "elsewhere", "q", np.zeros((0, 2), np.float32))], {"clip": clip}, text, 2)


class _Keys:
    """As much of a store as `StoredKeys` needs."""

    path = "store"

    def __init__(self, *keys: str) -> None:
        self.held = keys

    def find(self, key: str) -> int | None:
        return self.held.index(key) if key in self.held else None


def test_a_video_is_found_with_its_files_ending_but_never_guessed():
    moment = Moment("1", "a.b", "q", np.zeros((0, 2), np.float32))
    assert StoredKeys([moment], _Keys("a.b.mp4", "a.mp4"))(moment) == "a.b.mp4"
    assert StoredKeys([moment], _Keys("a.b", "a.b.mp4"))(moment) == "a.b"
    assert StoredKeys([moment], _Keys("a.mp4"))(moment) == "a.b"  # which the stream will miss
    with pytest.raises(HeedError, match=r"'a\.b\.avi' and 'a\.b\.mp4'"):
        StoredKeys([moment], _Keys("a.b.mp4", "a.b.avi"))


@needs_shared
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_videos_join_their_queries_and_a_store_of_frames_gives_the_same_batches(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    pytest.importorskip("timm", reason="timm is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.features.text.test_encoders import clip_with_tokeniser

    videos, annotations = SHARED / "data" / "videos", SHARED / "data" / "videos" / "moments.jsonl"
    (tmp_path / "list.jsonl").write_text("".join(
        json.dumps({"key": f"{name}.mp4", "path": str(videos / f"{name}.mp4")}) + "\n"
        for name in ("car-detection", "bottle-detection")))
    (tmp_path / "clip").mkdir()
    here = ["--inline", "--device", "cpu", "--dtype", "float32"]
    encoder = ["--encoder", "timm:test_vit=random", *here]
    assert main(["extract", "clips", str(tmp_path / "list.jsonl"), str(tmp_path / "video"), *encoder]) == 0
    for image in ("png", "jpg"):
        frames = ["--fps", "1", "--image", image, "--quality", "95", "--inline"]
        assert main(["extract", "frames", str(tmp_path / "list.jsonl"), str(tmp_path / image), *frames]) == 0
        assert main(["extract", "clips", str(tmp_path / image), str(tmp_path / f"of-{image}"), *encoder]) == 0
    assert main(["extract", "text", str(annotations), str(tmp_path / "text"), "--encoder",
                 f"clip:{clip_with_tokeniser(tmp_path / 'clip')}", *here]) == 0
    moments = read_moments(annotations)
    found = {}
    for name in ("video", "of-png", "of-jpg"):
        stores = {"vit": Store.open(tmp_path / name)}
        stream = moment_stream(moments, stores, Store.open(tmp_path / "text"), 7, IN_ORDER)
        assert stream.missing["vit"].keys == ["one-by-one-person-detection"]
        (found[name],) = [moment_batch(batch, ("vit",)) for batch in stream.epoch(0).batches()]
    inputs = found["video"]
    assert [moment.id for moment in inputs.moments] == [f"qid{n}" for n in range(8, 15)]
    assert inputs.clips.tolist() == [15] * 3 + [20] * 4 and inputs.video.shape == (7, 20, 64 + 2)
    assert inputs.text.shape[::2] == (7, 32) and (inputs.tokens > 5).all()
    assert np.array_equal(inputs.video, found["of-png"].video)
    cosine = (inputs.video * found["of-jpg"].video)[:, :, :-2].sum(2)[inputs.video_mask]
    assert cosine.min() > 0.998 and cosine.mean() > 0.999  # a JPEG's loss at quality 95
    truth = zip(inputs.moments, inputs.windows, inputs.inside, inputs.seconds, strict=True)
    for moment, windows, inside, seconds in truth:
        assert np.abs(windows * seconds - np.minimum(moment.windows, seconds)).max() < 1e-4
        middles = 2 * np.flatnonzero(inside) + 1
        assert all(any(start <= middle < end for start, end in moment.windows) for middle in middles)
