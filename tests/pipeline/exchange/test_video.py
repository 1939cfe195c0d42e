import h5py
import numpy as np
import pytest

from features.errors import HeedError
from pipeline.importer import open_import
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.exchange.common import features, imported


def folder(path, arrays):
    path.mkdir()
    for name, members in arrays.items():
        np.savez(path / f"{name}.npz", **members)
    return path


@pytest.mark.parametrize("dim", [2304, 512, 2050])
def test_qvhighlights_video_and_sound_rows_are_clips_of_two_seconds(tmp_path, dim):
    path = folder(tmp_path / "f", {f"vid_-{i}_60.0_210.0": {"features": features(5 + i, i, dim)} for i in range(3)})
    store, summary = imported("qvhighlights-npz", path, tmp_path / "store")
    assert store.identity.kind == "clips" and not summary.failures
    row = store.row(store.find("vid_-2_60.0_210.0"))
    assert np.array_equal(row["features"], features(7, 2, dim)) and row["duration"] == 14
    assert row["spans"].tolist() == [[2 * i, 2 * i + 2] for i in range(7)]
    assert dict(verify(tmp_path / "store")) == {"shard 000000": [], "shard 000001": [], "inputs": [], "keys": [],
                                                "index": []}


def test_qvhighlights_texts_are_tokens_with_a_pooled_vector(tmp_path):
    path = folder(tmp_path / "f", {f"qid{i}": {"last_hidden_state": features(4 + i, i, 512).astype("f2"),
                                               "pooler_output": features(1, i, 512)[0]} for i in range(2)})
    store, _ = imported("qvhighlights-npz", path, tmp_path / "store")
    assert store.identity.kind == "tokens"
    row = store.row(store.find("qid1"))
    assert np.array_equal(row["features"], features(5, 1, 512).astype("f2").astype("f4"))
    assert np.array_equal(row["pooled"], features(1, 1, 512)[0])


@pytest.mark.parametrize(("members", "words"), [
    ({"features": features(3)[0]}, "(n, d)"), ({"feature": features(3)}, "has no features"),
    ({"features": features(3) * np.inf}, "NaN or infinite"), ({"features": features(3, dim=7)}, "7 numbers"),
    ({"last_hidden_state": features(3)}, "of kind tokens where the store holds clips"),
    ({"features": np.array({"a": 1})}, "pickled objects"),
])
def test_qvhighlights_other_files_are_counted_with_reasons(tmp_path, members, words):
    path = folder(tmp_path / "f", {"a": {"features": features(3)}, "b": members})
    _, summary = imported("qvhighlights-npz", path, tmp_path / "store")
    assert summary.stored == 1 and words in summary.failures[0]["reason"]


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")
    return path


def test_mads_frames_are_clips_of_a_fifth_of_a_second(tmp_path):
    path = hdf5(tmp_path / "CLIP_B32_frames_features_5fps.h5", {f"{i}_FILM": features(11, i, 512) for i in range(2)})
    store, _ = imported("mad-h5", path, tmp_path / "store")
    row = store.row(store.find("1_FILM"))
    assert store.identity.kind == "clips" and np.isclose(row["duration"], 2.2)
    assert np.allclose(row["spans"][:, 0] * 5, np.arange(11)) and np.allclose(np.diff(row["spans"]), 0.2)
    assert np.array_equal(row["features"], features(11, 1, 512))


def test_mads_language_files_are_tokens(tmp_path):
    arrays = {"17": features(4, 1, 512), "9": features(6, 2, 512)}
    path = hdf5(tmp_path / "CLIP_B32_language_tokens_features.h5", arrays)
    store, _ = imported("mad-h5", path, tmp_path / "store")
    assert store.identity.kind == "tokens" and "pooled" not in store.identity.fields
    assert np.array_equal(store.row(store.find("9"))["features"], features(6, 2, 512))
    path = hdf5(tmp_path / "CLIP_B32_language_features_MAD_test.h5", {"17": features(1, 1, 512)[0]})
    store, _ = imported("mad-h5", path, tmp_path / "store2")
    assert store.row(0)["features"].shape == (1, 512)


def test_clips_can_be_gathered_like_regions(tmp_path):
    path = folder(tmp_path / "f", {str(i): {"features": features(5 + i, i)} for i in range(3)})
    imported("qvhighlights-npz", path, tmp_path / "store")
    values, lengths = Store.open(tmp_path / "store").gather("features", [2, 0])
    assert lengths.tolist() == [7, 5] and np.array_equal(values[0], features(7, 2)) and not values[1, 5:].any()


def test_an_empty_folder_says_so(tmp_path):
    (tmp_path / "f").mkdir()
    with pytest.raises(HeedError, match="holds nothing"):
        open_import("qvhighlights-npz", tmp_path / "f", "float32")
