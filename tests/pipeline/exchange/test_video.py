import h5py
import numpy as np
import pytest

from features.errors import HeedError
from pipeline.exporter import export
from pipeline.fields import clip_fields, stored_features, token_fields, with_feature_dtype
from pipeline.importer import open_import
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.exchange.common import features, imported
from tests.pipeline.rows_store import rows_store


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


def clip_store(path, seconds, cut=0.0):
    """Three videos of 5 to 7 clips of ``seconds`` each, the last clip shorter by ``cut``, the second's key a path."""
    rows = []
    for number, key in enumerate(["a_60.0_210.0", "films/b.mp4", "c"]):
        edges = np.arange(6 + number) * seconds
        edges[-1] -= cut
        rows.append({"key": key, "duration": edges[-1], "features": features(5 + number, number),
                     "spans": np.stack([edges[:-1], edges[1:]], 1).astype("f4")})
    return rows_store(path, rows, clip_fields(6, "float32"), "clips")


@pytest.mark.parametrize(("name", "file", "seconds"), [
    ("qvhighlights-npz", "slowfast_features", 2), ("mad-h5", "CLIP_B32_frames_features_5fps.h5", 0.2)])
def test_clips_are_given_back(tmp_path, name, file, seconds):
    store = clip_store(tmp_path / "store", seconds)
    export(name, store, tmp_path / file)
    again, summary = imported(name, tmp_path / file, tmp_path / "again")
    assert sorted(again.keys()) == sorted(store.keys()) and not summary.failures
    for number, key in enumerate(store.keys()):
        there, here = store.row(number), again.row(again.find(key))
        assert np.array_equal(here["features"], there["features"]) and np.isclose(here["duration"], there["duration"])
        assert np.allclose(here["spans"], there["spans"], atol=1e-6)


@pytest.mark.parametrize(("name", "file"), [("qvhighlights-npz", "f"), ("mad-h5", "f.h5")])
def test_clips_of_another_length_are_refused_and_a_short_last_one_is_taken(tmp_path, name, file):
    seconds = 2 if name == "qvhighlights-npz" else 0.2
    with pytest.raises(HeedError, match=rf"'a_60.0_210.0' are not {seconds} s each.*h5 and parquet"):
        export(name, clip_store(tmp_path / "other", 1.5), tmp_path / file)
    export(name, clip_store(tmp_path / "short", seconds, cut=seconds * 0.6), tmp_path / file)
    assert imported(name, tmp_path / file, tmp_path / "again")[0].identity.kind == "clips"


def test_the_written_files_are_the_published_ones(tmp_path):
    export("qvhighlights-npz", clip_store(tmp_path / "two", 2), tmp_path / "clip_features")
    with np.load(tmp_path / "clip_features" / "films" / "b.mp4.npz", allow_pickle=False) as file:
        assert set(file.files) == {"features"} and file["features"].dtype == np.float32
        assert np.array_equal(file["features"], features(6, 1))
    export("mad-h5", clip_store(tmp_path / "fifth", 0.2), tmp_path / "frames.h5")
    with h5py.File(tmp_path / "frames.h5") as file:
        assert sorted(file) == ["a_60.0_210.0", "c", "films"] and np.array_equal(file["films/b.mp4"], features(6, 1))


def token_store(path, lengths, pooled=4):
    rows = [{"key": f"qid{n}", "features": features(n, n), **({"pooled": features(1, n, pooled)[0]} if pooled else {})}
            for n in lengths]
    return rows_store(path, rows, token_fields(6, pooled, "float32"), "tokens")


@pytest.mark.parametrize("pooled", [4, 0])
def test_tokens_are_given_back_with_their_pooled_vector(tmp_path, pooled):
    store = token_store(tmp_path / "store", (3, 5), pooled)
    export("qvhighlights-npz", store, tmp_path / "clip_text_features")
    with np.load(tmp_path / "clip_text_features" / "qid5.npz", allow_pickle=False) as file:
        assert set(file.files) == {"last_hidden_state", *(["pooler_output"] if pooled else [])}
    again, _ = imported("qvhighlights-npz", tmp_path / "clip_text_features", tmp_path / "again")
    assert again.identity.fields == store.identity.fields
    for number in range(2):
        assert all(np.array_equal(again.row(number)[name], store.row(number)[name]) for name in store.fields)


def test_mads_texts_are_written_as_their_files_name_says(tmp_path):
    store = token_store(tmp_path / "store", (3, 5))
    export("mad-h5", store, tmp_path / "CLIP_L14_language_tokens_features.h5")
    again, _ = imported("mad-h5", tmp_path / "CLIP_L14_language_tokens_features.h5", tmp_path / "again")
    assert all(np.array_equal(again.row(number)["features"], store.row(number)["features"]) for number in range(2))
    with pytest.raises(HeedError, match=r"'qid3' has 3 tokens.*language_tokens"):
        export("mad-h5", store, tmp_path / "CLIP_L14_language_features_MAD_test.h5")
    with pytest.raises(HeedError, match=r"frames\.h5 would be taken for frames"):
        export("mad-h5", store, tmp_path / "frames.h5")
    with pytest.raises(HeedError, match="would be taken for texts"):
        export("mad-h5", clip_store(tmp_path / "clips", 0.2), tmp_path / "language.h5")
    export("mad-h5", token_store(tmp_path / "ones", (1,)), tmp_path / "CLIP_B32_language_features_MAD_test.h5")
    with h5py.File(tmp_path / "CLIP_B32_language_features_MAD_test.h5") as file:
        assert file["qid1"].shape == (6,) and np.array_equal(file["qid1"], features(1, 1)[0])


def test_int8_stores_are_written_as_floats(tmp_path):
    fields = with_feature_dtype(clip_fields(6), "int8")
    spans = np.array([[0, 2], [2, 4]], "f4")
    row = {"key": "a", "duration": 4.0, "spans": spans, **stored_features(features(2, 1), fields)}
    store = rows_store(tmp_path / "store", [row], fields, "clips")
    for name, file in (("qvhighlights-npz", "f"), ("h5", "f.h5"), ("parquet", "f.parquet")):
        export(name, store, tmp_path / file)
        again, _ = imported(name, tmp_path / file, tmp_path / f"again {name}", "float32")
        assert np.array_equal(again.row(0)["features"], store.row(0)["features"])
        assert set(again.row(0)) == {"key", "duration", "spans", "features"}
