import io
import json

import lmdb
import msgpack
import numpy as np
import pytest

from features.errors import HeedError
from pipeline.exchange import uniter_lmdb
from pipeline.importer import open_import
from tests.pipeline.exchange.common import HEIGHT, WIDTH, boxes, features, imported, norm_bb


def dump(n, seed=0):
    """The arrays of one image as UNITER's extraction wrote them."""
    labels = np.full((n, 1601), 1e-5, "f4")
    labels[np.arange(n), 1 + np.arange(n) * 3] = 0.7
    labels[:, 0] = 0.9  # background is likeliest and is no class
    return {"features": features(n, seed), "norm_bb": norm_bb(n, seed), "soft_labels": labels,
            "conf": np.linspace(0.9, 0.3, n, dtype="f4")}


def packed(arrays):
    """As msgpack_numpy.patch() makes msgpack.dumps(dump, use_bin_type=True) write float16 arrays."""
    def encode(array):
        return {b"nd": True, b"type": array.dtype.str, b"kind": b"", b"shape": array.shape, b"data": array.tobytes()}
    return msgpack.packb({k: v.astype("f2") for k, v in arrays.items()}, default=encode, use_bin_type=True)


def compressed(arrays, stray=True):
    file = io.BytesIO()
    arrays = {k: v.astype("f2") for k, v in arrays.items()}
    np.savez_compressed(file, **arrays, **({"allow_pickle": np.array(True)} if stray else {}))
    return file.getvalue()


def database(path, entries, keys=None):
    with lmdb.open(str(path), map_size=1 << 26) as env, env.begin(write=True) as txn:
        for name, value in entries.items():
            txn.put(name.encode(), value)
        txn.put(b"__keys__", json.dumps(list(entries) if keys is None else keys).encode())
    return path


def check(read, n, seed, tolerance):
    assert np.allclose(read.boxes, norm_bb(n, seed)[:, :4], atol=tolerance)
    assert np.allclose(read.boxes * np.array([WIDTH, HEIGHT] * 2), boxes(n, seed), atol=tolerance * 100)
    assert np.allclose(read.features, features(n, seed), atol=tolerance * 5)
    assert read.classes.tolist() == [i * 3 for i in range(n)]
    assert np.allclose(read.class_scores, np.linspace(0.9, 0.3, n), atol=tolerance)
    assert (read.width, read.height) == (1, 1)


def test_npz_folder(tmp_path):
    (tmp_path / "npz" / "train").mkdir(parents=True)
    for i in range(3):
        np.savez(tmp_path / "npz" / "train" / f"coco.train_{i}.npz", **dump(3 + i, i))
    (tmp_path / "npz" / "readme.txt").write_text("no features")
    store, summary = imported("uniter-npz", tmp_path / "npz", tmp_path / "store")
    assert list(store.keys()) == [f"train/coco.train_{i}" for i in range(3)] and not summary.failures
    check(store.regions(2), 5, 2, 1e-6)
    assert "fractions" in store.identity.extractor["note"]


@pytest.mark.parametrize("pack", [packed, compressed])
def test_lmdb_plain_and_compressed(tmp_path, pack):
    path = database(tmp_path / "all", {f"flickr30k_{i}.npz": pack(dump(3 + i, i)) for i in range(3)})
    store, _ = imported("uniter-lmdb", path, tmp_path / "store")
    assert list(store.keys()) == ["flickr30k_0", "flickr30k_1", "flickr30k_2"]
    for i in range(3):
        check(store.regions(i), 3 + i, i, 1e-3)


def test_the_nbb_file_beside_the_database_says_how_many_boxes_to_take(tmp_path):
    path = database(tmp_path / "feat_th0.2_max100_min10_compressed",
                    {f"{i}.npz": compressed(dump(5, i)) for i in range(3)})
    (tmp_path / "nbb_th0.2_max100_min10.json").write_text(json.dumps({"0.npz": 2, "1.npz": 5, "2.npz": 6}))
    store, summary = imported("uniter-lmdb", path, tmp_path / "store")
    assert [len(store.regions(i)) for i in range(2)] == [2, 5]
    assert np.allclose(store.regions(0).boxes, norm_bb(5, 0)[:2, :4], atol=1e-3)
    assert summary.failures[0]["key"] == "2" and "5 boxes where its nbb file counts 6" in summary.failures[0]["reason"]


def test_names_of_the_key_list_that_are_not_there_are_counted(tmp_path):
    path = database(tmp_path / "all", {"a.npz": packed(dump(3))}, keys=["a.npz", "lost.npz"])
    _, summary = imported("uniter-lmdb", path, tmp_path / "store")
    assert summary.failures == [{"key": "lost", "reason": "is listed in __keys__ and is not in the database"}]


@pytest.mark.parametrize(("change", "words"), [
    (lambda d: packed(d)[:200], "no msgpack"), (lambda d: compressed(d)[:300], r"no whole \.npz"),
    (lambda d: packed({k: v for k, v in d.items() if k != "norm_bb"}), "has no norm_bb"),
    (lambda d: packed({**d, "norm_bb": d["norm_bb"] * 100}), "fractions of the image"),
    (lambda d: packed({**d, "features": d["features"][:2]}), "where there are 3 boxes"),
    (lambda d: msgpack.packb({"conf": {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": (1,), b"data": b"x"}}),
     "refused"),
    (lambda d: msgpack.packb({"features": {b"nd": True, b"type": "<f2", b"kind": b"", b"shape": (1 << 40, 9),
                                           b"data": b"x"}}), "needs"),
    (lambda d: b"", "no msgpack"), (lambda d: msgpack.packb([1, 2]), "no msgpack"),
])
def test_damaged_entries_are_counted_with_reasons(tmp_path, change, words):
    path = database(tmp_path / "all", {"a.npz": packed(dump(3)), "b.npz": change(dump(3))})
    store, summary = imported("uniter-lmdb", path, tmp_path / "store")
    assert len(store) == 1 and summary.failures[0]["key"] == "b"
    with pytest.raises(HeedError, match=words):
        raise HeedError(summary.failures[0]["reason"])


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "msgpack", None)
    with pytest.raises(HeedError, match=r"msgpack.*heed\[exchange\]"):
        uniter_lmdb.read_msgpack(b"", [])


def test_a_folder_that_is_no_database(tmp_path):
    with pytest.raises(HeedError, match=r"no data\.mdb"):
        open_import("uniter-lmdb", tmp_path, "float32")
    with pytest.raises(HeedError, match="is no folder"):
        (tmp_path / "file").write_text("")
        open_import("uniter-npz", tmp_path / "file", "float32")
