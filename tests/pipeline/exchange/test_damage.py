"""Every format on damaged bytes, and on many rows."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.exchange import EXCHANGE, exchange_format
from pipeline.exporter import export
from pipeline.importer import ImportReader, open_import
from pipeline.sources import Item
from tests.pipeline.exchange.common import features, toy_store
from tests.pipeline.exchange.test_mmf_lmdb import mmf_lmdb

FILES = {
    "butd-tsv": "f.tsv", "lxmert-tsv": "f.tsv", "volta-tsv": "f.tsv", "uniter-npz": "f", "uniter-lmdb": "all",
    "vilbert-lmdb": "f", "volta-h5": "f.h5", "milvlg-npz": "f", "h5": "f.h5", "parquet": "f.parquet",
    "scan-npy": "dev_ims.npy", "mmf-npy": "f", "mmf-lmdb": "f", "qvhighlights-npz": "f", "mad-h5": "f.h5",
    "clevr-h5": "val.h5",
}
"""Every format: its file's name, and the file of it that is damaged."""


def sample(name, folder):
    """A small file of the format."""
    folder.mkdir()
    path = folder / FILES[name]
    if name == "scan-npy":
        np.save(path, np.zeros((3, 2, 4), "f4"))
    elif name == "mmf-npy":
        path.mkdir()
        np.save(path / "a.npy", features(3))
        np.save(path / "a_info.npy", {"bbox": np.ones((3, 4)), "image_width": 9, "image_height": 9})
    elif name == "mmf-lmdb":
        mmf_lmdb(path, {"train/a": {"bbox": np.ones((3, 4)), "image_width": 9, "image_height": 9}})
    elif name == "qvhighlights-npz":
        path.mkdir()
        np.savez(path / "a.npz", features=features(3))
    elif name == "mad-h5":
        import h5py

        with h5py.File(path, "w") as file:
            for i in range(3):
                file[str(i)] = features(3)
    elif name == "clevr-h5":
        import h5py

        with h5py.File(path, "w") as file:
            file["features"] = np.ones((3, 4, 2, 3), "f4")
    else:
        export(name, toy_store(folder, 3), path)
    return path


def everything(name, path):
    """Import all entries; the reasons of those that failed."""
    source, spec = open_import(name, path, "float32")
    return [result for _, result in ImportReader(spec).read(source.items) if isinstance(result, HeedError)]


def test_every_format_is_here():
    assert set(FILES) == set(EXCHANGE)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), keep=st.floats(0.3, 1))
def test_damage_gives_rows_or_sentences(tmp_path, name, changes, keep):
    path = tmp_path / "sample" / FILES[name]
    if not path.exists():
        sample(name, tmp_path / "sample")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    file = max(files, key=lambda file: file.stat().st_size)
    whole = file.read_bytes()
    data = bytearray(whole if keep > 0.9 else whole[:int(keep * len(whole))])
    for where, new in changes:
        data[int(where * (len(data) - 1))] = new
    file.unlink()
    file.write_bytes(data)
    tracemalloc.start()
    try:
        assert all(str(problem) for problem in everything(name, path))
    except HeedError as error:
        assert str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        file.write_bytes(whole)
    assert peak < 8_000_000 + 20 * len(whole)


@pytest.mark.parametrize("name", ["butd-tsv", "uniter-lmdb", "volta-h5", "parquet", "scan-npy"])
def test_memory_does_not_grow_with_the_rows(tmp_path, name):
    """Listing and reading 40 rows of 0.1 MB takes as much memory as 10."""
    module = exchange_format(name)

    def peak(rows):
        content = {"boxes": np.tile(np.array([[1, 2, 3, 4]], "f4"), (36, 1)), "width": 9, "height": 9,
                   "features": np.random.default_rng(0).normal(size=(36, 768)).astype("f4"),
                   "classes": np.zeros(36, "i4"), "class_scores": np.ones(36, "f4")}
        from pipeline.fields import region_fields

        path = tmp_path / str(rows) / FILES[name]
        path.parent.mkdir()
        module.write(({**content, "key": f"{i}"} for i in range(rows)), region_fields(768, 0, "float32"), path)
        tracemalloc.start()
        try:
            count = 0
            for item in module.items(path):
                assert isinstance(item, Item) and len(module.read(item)) == 36
                count += 1
            assert count == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(5)  # imports and caches
    assert peak(96) < 1.3 * peak(24) + 100_000
