"""Numbers and boxes that cannot be: a counted failure with its reason in every format that can hold them."""

import numpy as np
import pytest

from pipeline.exchange import exchange_format
from pipeline.exporter import export
from pipeline.fields import with_feature_dtype
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.exchange.common import imported, toy_store
from tests.pipeline.exchange.test_export import FRACTIONS, PIXELS

NAMES = {**PIXELS, **{name: file for name, (file, _) in FRACTIONS.items()}}
BAD = {
    "NaN": ("features", lambda features: np.where(np.arange(8) == 3, np.nan, features)),
    "infinite": ("features", lambda features: np.where(np.arange(8) == 3, -np.inf, features)),
    "too large for float16": ("features", lambda features: features.astype(np.float32) * 1e6),
    "inverted": ("boxes", lambda boxes: boxes[:, [0, 3, 2, 1]]),
    "outside": ("boxes", lambda boxes: np.add(boxes, [0, 0, 1000, 0])),
    "NaN or infinite": ("boxes", lambda boxes: boxes * np.nan),
}


def write_plain(format_name, store, path):
    """heed's plain formats keep the store's number types: write float32 ones."""
    rows = (store.row(number) for number in range(5))
    exchange_format(format_name).write(rows, with_feature_dtype(store.identity.fields, "float32"), path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("limits"))


@pytest.mark.parametrize("words", BAD)
@pytest.mark.parametrize("name", NAMES)
def test_an_entry_that_cannot_be_is_counted_and_the_others_are_stored(tmp_path, monkeypatch, store, name, words):
    format_name = name.split()[0]
    field, spoilt = BAD[words]
    good = [store.row(number) for number in range(5)]

    def row(self, number):
        found = good[number]
        return found if number != 2 else {**found, field: np.asarray(spoilt(found[field]), np.float32)}

    with monkeypatch.context() as patch:
        patch.setattr(Store, "row", row)
        patch.setattr("pipeline.exchange.uniter_npz.all_finite", lambda values: True)
        if name in ("h5", "parquet"):
            write_plain(format_name, store, tmp_path / NAMES[name])
        else:
            export(format_name, store, tmp_path / NAMES[name])
    again, summary = imported(format_name, tmp_path / NAMES[name], tmp_path / "again", "float16")
    failure, = summary.failures
    assert failure["key"] == good[2]["key"] and summary.stored == 4 and summary.status == 3
    expected = "NaN or infinite" if format_name == "uniter-lmdb" and "float16" in words else words
    assert expected in failure["reason"] or (BAD[words][0] == "boxes" and "norm_bb" in failure["reason"])
    assert not any(problems for _, problems in verify(again.path))
