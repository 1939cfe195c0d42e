"""The clips of a description: which they are, and that they come from the film's row as MAD's file holds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from heed import main
from pipeline.annotations import Description
from pipeline.descriptions import clip_span, described_clips, described_windows, description_stream
from pipeline.sampler import Order
from pipeline.store import Store

h5py = pytest.importorskip("h5py")


@given(st.floats(-5, 60), st.floats(0.01, 30), st.sampled_from([0.2, 0.5, 2.0]), st.integers(1, 60))
def test_the_clips_are_those_whose_middles_lie_in_the_time(start, length, seconds, count):
    first, last = clip_span(start, start + length, seconds, count)
    middles = (np.arange(count) + 0.5) * seconds
    away = np.abs(middles[:, None] - [start, start + length]).min(1) > 1e-9  # on the edge either is right
    inside = (middles >= start) & (middles < start + length)
    chosen = (np.arange(count) >= first) & (np.arange(count) < last)
    if inside[away].any():
        assert (chosen == inside)[away].all()
    else:  # one clip around the middle of the time, unless that lies behind all of them
        assert last - first <= 2
        if first < last and start + length / 2 > 0:
            assert abs(middles[first:last].mean() - (start + length / 2)) <= seconds


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films of 5 frames a second, the numbers of their frames as features; and one film's sound of 1 s clips."""
    root = tmp_path_factory.mktemp("films")
    with h5py.File(root / "CLIP_B32_frames_features_5fps.h5", "w") as file:
        for name, frames in (("long", 4000), ("short", 100)):
            file[name] = np.arange(frames, dtype=np.float32)[:, None] * [1, -1]
    assert main(["import", "mad-h5", str(root / "CLIP_B32_frames_features_5fps.h5"), str(root / "frames"),
                 "--dtype", "float32"]) == 0
    return root


def one(name: str, film: str, start: float, end: float) -> Description:
    return Description(name, film, "He waits.", start, end)


def test_frames_of_a_description_are_the_slice_of_its_film(films):
    store = Store.open(films / "frames")
    asked = [one("0", "long", 700.1, 704.9), one("1", "short", 0, 1.2), one("2", "short", 19.5, 23)]
    windows, notes = described_windows(asked, {"video 1": store})
    assert not notes
    stream = description_stream(windows, {"video 1": store}, 3, Order(shuffle="none"))
    made = described_clips(next(iter(stream.epoch(0).batches())), ("video 1",))
    for row, (first, last) in enumerate([(3500, 3524), (0, 6), (98, 100)]):  # round(5 t)
        assert made.features[row, : made.lengths[row], 0].tolist() == list(range(first, last))
    assert made.mask.sum() == 24 + 6 + 2 and not made.features[~made.mask].any()
    thin = described_clips(stream.epoch(0)[0], ("video 1",), most=6)
    assert thin.features[0, :, 0].tolist() == [3502, 3506, 3510, 3514, 3518, 3522]


def test_a_margin_shows_more_and_shares_say_what_is_described(films):
    store = Store.open(films / "frames")
    windows, _ = described_windows([one("0", "short", 4.1, 4.6)], {"video 1": store}, margin=0.4)
    made = described_clips(description_stream(windows, {"video 1": store}, 1).epoch(0)[0], ("video 1",))
    assert made.features[0, :, 0].tolist() == [18, 19, 20, 21, 22, 23, 24]
    assert np.allclose(made.shares[0], [0, 0, 0.5, 1, 1, 0, 0], atol=1e-4)


def test_what_has_no_clips_is_left_out_and_counted(films):
    store = Store.open(films / "frames")
    asked = [one("0", "short", 1, 2), one("1", "absent", 1, 2), one("2", "short", 90, 95), one("3", "absent", 4, 5)]
    windows, notes = described_windows(asked, {"video 1": store})
    assert [window.id for window in windows] == ["0"]
    assert notes[0].startswith("2 of 4 descriptions are of films") and notes[1].startswith("1 descriptions lie behind")
    with pytest.raises(HeedError, match="No description has clips"):
        described_windows(asked[1:], {"video 1": store})


def test_stores_of_other_clips_cannot_be_joined_but_stand_beside_each_other(films):
    with h5py.File(films / "CLIP_L14_frames_features_5fps.h5", "w") as file:
        file["short"] = np.ones((100, 3), np.float32)
    main(["import", "mad-h5", str(films / "CLIP_L14_frames_features_5fps.h5"), str(films / "more")])
    (films / "coarse").mkdir(exist_ok=True)
    np.savez(films / "coarse" / "short.npz", features=np.arange(10, dtype=np.float32)[:, None])
    main(["import", "qvhighlights-npz", str(films / "coarse"), str(films / "sound"), "--dtype", "float32"])
    stores = {name: Store.open(films / folder)
              for name, folder in (("video 1", "frames"), ("video 2", "more"), ("audio", "sound"))}
    windows, _ = described_windows([one("0", "short", 4, 8)], stores)
    batch = description_stream(windows, stores, 1).epoch(0)[0]
    joined = described_clips(batch, ("video 1", "video 2"))
    assert joined.features.shape == (1, 20, 5) and joined.features[0, 0].tolist() == [20, -20, 1, 1, 1]
    assert described_clips(batch, ("audio",)).features[0, :, 0].tolist() == [2, 3]
    with pytest.raises(HeedError, match="extract both with the same --clip-seconds"):
        described_clips(batch, ("video 1", "audio"))


def test_a_store_of_texts_is_refused(films):
    with h5py.File(films / "CLIP_B32_language_tokens_features.h5", "w") as file:
        file["0"] = np.ones((4, 2), np.float32)
    main(["import", "mad-h5", str(films / "CLIP_B32_language_tokens_features.h5"), str(films / "texts")])
    with pytest.raises(HeedError, match="is a store of tokens, and one of clips is needed"):
        described_windows([one("0", "short", 1, 2)], {"video 1": Store.open(films / "texts")})
