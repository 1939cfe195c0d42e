"""Clips of captioned videos: joined stores, long videos thinned evenly, padding."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import HeedError
from heed import main
from pipeline.annotations import Caption
from pipeline.captioned_videos import spread, video_batch, video_stream
from pipeline.sampler import Order
from pipeline.store import Store

LENGTHS = {"a": 3, "b": 9, "c": 1}
CAPTIONS = [Caption("1", "b", "one"), Caption("2", "a", "two"), Caption("3", "c", "three"), Caption("4", "a", "four"),
            Caption("5", "gone", "five")]


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, Store]:
    root = tmp_path_factory.mktemp("videos")
    draw = np.random.default_rng(0)
    made: dict[str, Store] = {}
    for name, dim in (("look", 4), ("sound", 2)):
        (root / name).mkdir()
        for key, length in LENGTHS.items():
            np.savez(root / name / f"{key}.npz", features=draw.normal(size=(length, dim)).astype(np.float32))
        main(["import", "qvhighlights-npz", str(root / name), str(root / f"{name}-store"), "--dtype", "float32"])
        made[name] = Store.open(root / f"{name}-store")
    return made


def features(stores: dict[str, Store], key: str) -> np.ndarray:
    return np.concatenate([store.row(store.find(key))["features"] for store in stores.values()], 1)


def test_clips_are_those_of_the_stores_behind_each_other_with_their_places(stores) -> None:
    stream = video_stream(CAPTIONS, stores, 8, Order(shuffle="none"))
    made = video_batch(stream.epoch(0)[0], tuple(stores), 16, normalise=False)
    assert [caption.id for caption in made.captions] == ["1", "2", "3", "4"]  # the last one's video is in no store
    assert made.captions == CAPTIONS[:4] and [str(lacking) for lacking in stream.missing.values()]
    assert made.video.shape == (4, 9, 8) and made.mask.sum(1).tolist() == [9, 3, 1, 3]
    for row, caption in enumerate(made.captions):
        count = LENGTHS[caption.key]
        assert np.allclose(made.video[row, :count, :6], features(stores, caption.key))
        assert np.allclose(made.video[row, :count, 6], np.arange(count) / count)
        assert (made.video[row, count:] == 0).all()


def test_a_store_of_vectors_is_brought_to_unit_length(stores) -> None:
    made = video_batch(video_stream(CAPTIONS, stores, 8).epoch(0)[0], tuple(stores), 16)
    for part in (slice(0, 4), slice(4, 6)):
        assert np.allclose(np.linalg.norm(made.video[..., part], axis=2)[made.mask], 1, atol=1e-4)


@pytest.mark.parametrize("most", [1, 2, 4, 8])
def test_a_long_video_is_thinned_evenly(stores, most: int) -> None:
    made = video_batch(video_stream(CAPTIONS, stores, 8, Order(shuffle="none")).epoch(0)[0], tuple(stores), most, False)
    assert made.video.shape[1] == most and made.mask.sum(1).tolist() == [min(9, most), min(3, most), 1, min(3, most)]
    assert np.allclose(made.video[0, :, :6], features(stores, "b")[spread(9, most)])
    assert (made.video[~made.mask] == 0).all()


def test_places_are_even_and_have_both_ends() -> None:
    assert spread(9, 3).tolist() == [0, 4, 8] and spread(3, 5).tolist() == [0, 1, 2] and spread(5, 1).tolist() == [2]
    for count in range(2, 40):
        for most in range(2, count):
            steps = np.diff(spread(count, most))
            assert (spread(count, most)[[0, -1]] == [0, count - 1]).all() and steps.max() - steps.min() <= 1


def test_no_video_at_all_is_said(stores) -> None:
    with pytest.raises(HeedError, match="None of the 1 samples has a row"):
        video_stream(CAPTIONS[4:], stores, 4)
