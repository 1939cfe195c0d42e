from pathlib import Path

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.commands.exchange import Import, StoreExport
from pipeline.commands.rewrite import StoreConvert
from pipeline.exchange import EXCHANGE, exchange_format
from pipeline.exporter import export
from pipeline.fields import row_from_regions
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import Store
from tests.pipeline.exchange.common import imported, round_trip, toy_store
from tests.pipeline.toy import Toy, ToyReader, toy_regions, toy_source

PIXELS = {
    "butd-tsv": "features.tsv", "lxmert-tsv": "features.tsv", "volta-tsv": "features.tsv",
    "vilbert-lmdb": "features.lmdb", "volta-h5": "features.h5", "milvlg-npz": "features", "mmf-npy": "features",
    "mmf-lmdb": "features.lmdb",
    "h5": "features.h5", "parquet": "features.parquet",
}
FRACTIONS = {
    "uniter-npz": ("features", 1e-6), "uniter-lmdb": ("all", 1e-3),
    "uniter-lmdb compressed": ("feat_th0.2_max100_min10_compressed", 1e-3),
}


@pytest.mark.parametrize("name", PIXELS)
def test_pixel_formats_give_back_what_was_stored(tmp_path, name):
    store = toy_store(tmp_path)
    again = round_trip(name, tmp_path, PIXELS[name], store)
    assert sorted(again.keys()) == sorted(store.keys())
    attributes = {"butd-tsv": 0, "mmf-npy": 0, "mmf-lmdb": 0, "h5": 2, "parquet": 2}.get(name, 1)
    for row, key in enumerate(store.keys()):
        there, here = store.regions(row), again.regions(again.find(key))
        assert (here.width, here.height) == (there.width, there.height) == (64, 64)
        assert np.array_equal(here.boxes, there.boxes) and np.array_equal(here.features, there.features)
        assert np.array_equal(here.attributes, there.attributes[:, :attributes])
        assert np.array_equal(here.attribute_scores, there.attribute_scores[:, :attributes])
        if name != "butd-tsv":
            assert np.array_equal(here.classes, there.classes)
            assert np.array_equal(here.class_scores, there.class_scores)


def test_a_file_can_be_imported_as_int8_and_written_again_as_the_same_floats(tmp_path):
    export("volta-h5", toy_store(tmp_path), tmp_path / "f.h5")
    small, _ = imported("volta-h5", tmp_path / "f.h5", tmp_path / "small", "int8")
    assert small.identity.fields["features"].dtype == "int8"
    export("volta-h5", small, tmp_path / "again.h5")
    again, _ = imported("volta-h5", tmp_path / "again.h5", tmp_path / "again", "int8")
    assert again.fingerprint() == small.fingerprint()


@pytest.mark.parametrize("name", FRACTIONS)
def test_uniters_formats_give_back_boxes_as_fractions(tmp_path, name):
    store = toy_store(tmp_path)
    file, tolerance = FRACTIONS[name]
    again = round_trip(name.split()[0], tmp_path, file, store)
    for row, key in enumerate(store.keys()):
        there, here = store.regions(row), again.regions(again.find(key))
        assert np.allclose(here.boxes * 64, there.boxes, atol=tolerance * 64)
        assert np.array_equal(here.features, there.features)  # float16 in the store already
        assert np.allclose(here.class_scores, there.class_scores, atol=tolerance)
        sure = there.class_scores > 0.01
        assert np.array_equal(here.classes[sure], there.classes[sure])
    assert (tmp_path / "nbb_th0.2_max100_min10.json").exists() == file.startswith("feat_th")


class Fixed(ToyReader):
    """Two regions for every input."""

    def read(self, items):
        for item in items:
            regions = toy_regions(item.key.encode())
            rows = {name: getattr(regions, name)[:2] for name in (
                "boxes", "features", "classes", "class_scores", "attributes", "attribute_scores")}
            yield item, row_from_regions(item.key, type(regions)(**rows, width=64, height=64), self.fields)


class FixedToy(Toy):
    def open(self):
        return Fixed(self)

    open_to_plan = open


def test_scan_gives_back_features_and_ids(tmp_path):
    run_job(FixedToy(), Source("x", [Item(f"{i:03d}", "x") for i in range(12)], 0), tmp_path / "s", inline=True)
    store = Store.open(tmp_path / "s")
    export("scan-npy", store, tmp_path / "dev_ims.npy")
    plain = np.load(tmp_path / "dev_ims.npy")
    assert plain.shape == (12, 2, 8) and plain.dtype == np.float32
    again, _ = imported("scan-npy", tmp_path / "dev_ims.npy", tmp_path / "again", "float16")
    assert list(again.keys()) == [f"{i:03d}" for i in range(12)]
    for row in range(12):
        assert np.array_equal(again.regions(row).features, store.regions(row).features)
        assert np.array_equal(plain[row], store.regions(row).features.astype("f4"))


def test_scan_refuses_images_with_other_numbers_of_regions_and_other_names(tmp_path):
    store = toy_store(tmp_path)
    with pytest.raises(HeedError, match="same number for every image"):
        export("scan-npy", store, tmp_path / "dev_ims.npy")
    with pytest.raises(HeedError, match=r"must be a split's name and _ims\.npy"):
        export("scan-npy", store, tmp_path / "dev.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy", "toy_store"]


def test_an_export_that_fails_leaves_nothing_and_a_present_file_is_kept(tmp_path, monkeypatch):
    store = toy_store(tmp_path)
    (tmp_path / "there.tsv").write_text("mine")
    with pytest.raises(HeedError, match=r"There is a .*there\.tsv already"):
        export("butd-tsv", store, tmp_path / "there.tsv")
    (tmp_path / "nbb_th0.2_max100_min10.json").write_text("mine")
    with pytest.raises(HeedError, match="which uniter-lmdb would replace"):
        export("uniter-lmdb", store, tmp_path / "feat_th0.2_max100_min10")
    monkeypatch.setattr(Store, "row", lambda self, number: 1 / 0 if number == 3 else {**self.shard(0).row(0)})
    with pytest.raises(ZeroDivisionError):
        export("butd-tsv", store, tmp_path / "new.tsv")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "nbb_th0.2_max100_min10.json", "there.tsv", "toy", "toy_store"]
    assert (tmp_path / "there.tsv").read_text() == "mine"


@pytest.mark.parametrize("key", ["../out", "/out", "a//b", ".", "a/../../out"])
@pytest.mark.parametrize("name", ["milvlg-npz", "uniter-npz", "mmf-npy", "volta-h5", "h5"])
def test_keys_cannot_leave_the_folder(tmp_path, monkeypatch, key, name):
    store = toy_store(tmp_path, 1)
    row = store.row(0)
    monkeypatch.setattr(Store, "row", lambda self, number: {**row, "key": key})
    with pytest.raises(HeedError, match=r"The key .* cannot be"):
        export(name, store, tmp_path / "made" / "features")
    assert not list((tmp_path / "made").iterdir()) and not (tmp_path / "out.npz").exists()


def test_a_tab_in_a_key_cannot_stand_in_a_tsv(tmp_path, monkeypatch):
    store = toy_store(tmp_path, 1)
    row = store.row(0)
    monkeypatch.setattr(Store, "row", lambda self, number: {**row, "key": "a\tb"})
    with pytest.raises(HeedError, match="tab-separated"):
        export("lxmert-tsv", store, tmp_path / "f.tsv")


def test_formats_that_are_only_read_say_what_can_be_written(tmp_path, monkeypatch):
    store = toy_store(tmp_path, 1)
    monkeypatch.delattr("pipeline.exchange.mad_h5.write")
    with pytest.raises(HeedError, match=r"reads mad-h5 and does not write it; it writes butd-tsv, .*parquet"):
        export("mad-h5", store, tmp_path / "f.h5")


def test_every_format_that_is_read_is_written():
    assert [name for name in EXCHANGE if not hasattr(exchange_format(name), "write")] == []


def test_features_too_large_for_float16_are_refused_by_uniters_lmdb(tmp_path, monkeypatch):
    store = toy_store(tmp_path, 1)
    row = store.row(0)
    monkeypatch.setattr(Store, "row", lambda self, n: {**row, "features": row["features"].astype("f4") + 1e6})
    with pytest.raises(HeedError, match="too large for float16"):
        export("uniter-lmdb", store, tmp_path / "all")


def test_the_commands_tell_what_they_made(tmp_path, capsys):
    run_job(Toy(), toy_source(tmp_path / "source", 4, bad=[1]), tmp_path / "store", inline=True)
    assert StoreExport("parquet", tmp_path / "store", tmp_path / "f.parquet").run() == 0
    assert "3 rows written to" in (out := capsys.readouterr().out) and "The 1 inputs that failed are not in it" in out
    assert Import("parquet", tmp_path / "f.parquet", tmp_path / "again").run() == 0
    assert StoreConvert(tmp_path / "again", tmp_path / "tar", format="webdataset").run() == 0
    assert capsys.readouterr().out.count("3 of 3") == 2
    assert list(Store.open(tmp_path / "tar").keys()) == ["a.b/0000.bin", "a.b/0002.bin", "a.b/0003.bin"]


def test_every_format_is_documented():
    root = Path(__file__).parents[3]
    page, command = (root / "docs/formats.md").read_text(), (root / "pipeline/commands/exchange.py").read_text()
    assert all(f"`{name}`" in page and name in command for name in EXCHANGE)
