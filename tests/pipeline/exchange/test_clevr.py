import h5py
import numpy as np
import pytest

from features.boxes import grid_of
from features.errors import HeedError
from pipeline.exporter import export
from pipeline.importer import open_import
from tests.pipeline.exchange.common import imported, toy_store

GRIDS = np.random.default_rng(0).normal(size=(5, 6, 3, 4)).astype("f4")


def hdf5(path, **options):
    """A file as MAC's extract_features.py writes it: (images, channels, rows, columns), none of it compressed."""
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=GRIDS, **options)
    return path


@pytest.mark.parametrize(("name", "key"), [("val.h5", "CLEVR_val_000003.png"), ("train_features.h5",
                         "CLEVR_train_000003.png"), ("features.h5", "3"), ("trainval.h5", "3")])
def test_a_row_is_a_grid_of_cells_named_by_the_image(tmp_path, name, key):
    store, summary = imported("clevr-h5", hdf5(tmp_path / name), tmp_path / "store")
    assert len(store) == 5 and not summary.failures
    read = store.regions(store.find(key))
    assert (read.width, read.height) == (480, 320) and grid_of(read.boxes) == (3, 4)
    for row in range(3):
        for column in range(4):
            cell = 4 * row + column
            assert np.array_equal(read.features[cell], GRIDS[3, :, row, column])
            assert np.allclose(read.boxes[cell], [column * 120, row * 320 / 3, column * 120 + 120, (row + 1) * 320 / 3])


@pytest.mark.parametrize("options", [{"chunks": (1, 6, 3, 4), "compression": "gzip"}, {"chunks": (2, 6, 3, 4)}])
def test_what_is_written_is_read(tmp_path, options):
    store, _ = imported("clevr-h5", hdf5(tmp_path / "val.h5", **options), tmp_path / "store")
    export("clevr-h5", store, tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as file:
        assert np.array_equal(file["features"][()], GRIDS)


def test_only_grids_numbered_from_0_are_written(tmp_path):
    with pytest.raises(HeedError, match="is not that image's number"):
        export("clevr-h5", toy_store(tmp_path), tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()


def test_files_of_something_else_are_told(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = GRIDS
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["features"] = GRIDS[0]
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["features"] = h5py.ExternalLink("a.h5", "images")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("features", (10**6, 1024, 14, 14), "f4", chunks=(1, 1024, 14, 14))
    for name, told in (("a", "has no dataset called features"), ("b", r"shape \(6, 3, 4\)"), ("c", "is a link")):
        with pytest.raises(HeedError, match=told):
            open_import("clevr-h5", tmp_path / f"{name}.h5", "float32")
    with pytest.raises(HeedError, match="more than its 0 stored bytes can hold"):
        open_import("clevr-h5", tmp_path / "d.h5", "float32")
