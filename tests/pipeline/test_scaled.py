import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import heed
from features.errors import HeedError
from features.regions import Regions
from pipeline.clips import Clips, Tokens
from pipeline.fields import (
    Field,
    clip_fields,
    read_fields,
    region_fields,
    row_from_clips,
    row_from_regions,
    row_from_tokens,
    stored_features,
    token_fields,
    with_feature_dtype,
)
from pipeline.identity import IDENTITY_FILE, SCHEMA_VERSION, Identity
from pipeline.job import run_job
from pipeline.scaled import scaled, unscaled
from pipeline.verify import verify
from tests.pipeline.rows_store import rows_store
from tests.pipeline.toy import Toy, ToyReader, shard_bytes, toy_source

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TABLES = arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 6)), elements=FLOATS)
LARGEST = np.float32(np.finfo(np.float32).max)


@given(values=TABLES)
@example(values=np.array([[LARGEST, -LARGEST, 1e-45]], np.float32))
@example(values=np.array([[1e-45, 0], [2e-38, 1.6e-38]], np.float32))
@settings(max_examples=60, deadline=None)
def test_no_value_is_off_by_more_than_half_its_boxs_scale(values):
    numbers, scales = scaled(values)
    assert (numbers.dtype, scales.dtype) == (np.int8, np.float32) and numbers.shape == values.shape
    exact = numbers.astype(np.float64) * scales.astype(np.float64)[:, None]
    assert (np.abs(values - exact) <= scales.astype(np.float64)[:, None] / 2).all()
    # a scale is the largest number / 127, at most 2^-16 of it less
    largest = np.abs(values).max(axis=1, initial=0).astype(np.float64) / 127
    usual = largest >= 1.2e-38
    assert (scales[usual] <= largest[usual]).all() and (scales[usual] >= largest[usual] * (1 - 2.0**-16)).all()


@given(values=TABLES)
@example(values=np.array([[LARGEST], [1e-45], [0], [-0.0], [3e-37]], np.float32))
@settings(max_examples=60, deadline=None)
def test_what_is_read_is_exact_and_stored_again_gives_the_same_bytes(values):
    numbers, scales = scaled(values)
    read = unscaled(numbers, scales)
    assert read.dtype == np.float32
    assert np.array_equal(read.astype(np.float64), numbers.astype(np.float64) * scales.astype(np.float64)[:, None])
    again, scales_again = scaled(read)
    assert again.tobytes() == numbers.tobytes() and scales_again.tobytes() == scales.tobytes()


def test_many_rows_are_scaled_as_few_are():
    values = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float16)
    numbers, scales = scaled(values)
    pieces = [scaled(values[i:i + 1]) for i in range(0, 2500, 499)]
    assert all(np.array_equal(numbers[i], piece[0][0]) and scales[i] == piece[1][0]
               for i, piece in zip(range(0, 2500, 499), pieces, strict=True))


def region_row(key, n, fields, seed=0, dim=6):
    rng = np.random.default_rng([seed, n])
    corner = rng.uniform(0, 40, (n, 2)).astype(np.float32)
    return row_from_regions(key, Regions(
        np.concatenate([corner, corner + 9], 1), rng.normal(size=(n, dim)).astype(np.float32),
        np.arange(n, dtype=np.int32), np.full(n, 0.5, np.float32), np.zeros((n, 0), np.int32),
        np.zeros((n, 0), np.float32), 64, 64), fields)


def int8_store(path, format, lengths=(3, 1, 4, 2, 5)):
    fields = region_fields(6, 0, "int8")
    return rows_store(path, [region_row(f"{i}.jpg", n, fields, i) for i, n in enumerate(lengths)], fields, "regions",
                      shard_rows=2, format=format)


@pytest.mark.parametrize("format", ["arrow", "webdataset"])
def test_a_store_gives_floats_and_on_demand_what_it_holds(tmp_path, format):
    store = int8_store(tmp_path / "store", format)
    assert store.identity.fields["features"] == Field("int8", (None, 6), "feature_scales")
    assert store.fields["features"] == Field("float32", (None, 6)) and "feature_scales" not in store.fields
    for number, n in enumerate((3, 1, 4, 2, 5)):
        truth = np.random.default_rng([number, n])
        truth.uniform(0, 40, (n, 2))
        values = truth.normal(size=(n, 6)).astype(np.float32)
        row, raw = store.row(number), store.row(number, raw=True)
        assert set(row) == set(store.fields) and set(raw) == set(store.identity.fields)
        assert raw["features"].dtype == np.int8 and raw["feature_scales"].shape == (n,)
        assert np.array_equal(row["features"], raw["features"] * raw["feature_scales"][:, None])
        assert np.abs(row["features"] - values).max() <= raw["feature_scales"].max() / 2
        assert np.array_equal(store.regions(number).features, row["features"])
    values, lengths = store.gather("features", [4, 0, 1, 1])
    assert values.dtype == np.float32 and lengths.tolist() == [5, 3, 1, 1]
    for slot, row in zip(values, [4, 0, 1, 1], strict=True):
        features = store.row(row)["features"]
        assert np.array_equal(slot[:len(features)], features) and not slot[len(features):].any()
    part, lengths = store.gather("features", [4, 2], spans=[(1, 3), (3, 9)])
    assert np.array_equal(part[0], store.row(4)["features"][1:3]) and lengths.tolist() == [2, 1]
    raw, _ = store.gather("features", [4], raw=True)
    scales, _ = store.gather("feature_scales", [4])
    assert raw.dtype == np.int8 and np.array_equal(raw[0] * scales[0][:, None], values[0])
    assert not any(problems for _, problems in verify(store.path))


@pytest.mark.parametrize("format", ["arrow", "webdataset"])
def test_clips_and_tokens_can_be_int8_too(tmp_path, format):
    features = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    spans = np.array([[0, 2], [2, 4], [4, 6]], np.float32)
    for kind, fields, row in (
        ("clips", clip_fields(4, "int8"), row_from_clips("a", Clips(features, spans, 6.0), clip_fields(4, "int8"))),
        ("tokens", token_fields(4, 2, "int8"),
         row_from_tokens("a", Tokens(features, np.ones(2, np.float32)), token_fields(4, 2, "int8"))),
    ):
        store = rows_store(tmp_path / kind, [row], fields, kind, format=format)
        assert np.array_equal(store.row(0)["features"], unscaled(*scaled(features)))
        assert set(store.row(0)) == set(fields) - {"feature_scales"}
        assert not any(problems for _, problems in verify(store.path))


def test_36_boxes_of_2048_numbers_take_74_kb(tmp_path):
    fields = region_fields(2048, 0, "int8")
    rows = [region_row(str(i), 36, fields, i, dim=2048) for i in range(4)]
    store = rows_store(tmp_path / "s", rows, fields, "regions")
    raw = store.row(0, raw=True)
    assert raw["features"].nbytes + raw["feature_scales"].nbytes == 36 * (2048 + 4) == 73_872
    assert store.records[0].bytes / 4 < 77_000  # with boxes, classes and headers


def test_a_heed_that_does_not_know_scales_must_refuse_and_others_stay_schema_1(tmp_path):
    store = int8_store(tmp_path / "store", "arrow")
    assert store.identity.to_json()["heed_store"] == SCHEMA_VERSION == 2
    assert store.identity.to_json()["fields"]["features"] == {
        "dtype": "int8", "shape": [None, 6], "scale": "feature_scales"}
    assert Identity.read(store.path) == store.identity and (store.path / IDENTITY_FILE).is_file()
    plain = Identity("regions", "arrow", region_fields(6, 0), {}, {"inputs": 3, "digest": ""}, 2)
    assert plain.to_json()["heed_store"] == 1 and "scale" not in plain.to_json()["fields"]["features"]


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused_in_every_number_type(dtype, bad):
    features = np.ones((2, 3), np.float32)
    features[1, 2] = bad
    with pytest.raises(HeedError, match="NaN or infinite"):
        stored_features(features, clip_fields(3, dtype))


def test_peek_shows_the_numbers_as_they_are_read_and_as_they_are_stored(tmp_path, capsys):
    store = int8_store(tmp_path / "store", "arrow")
    assert heed.main(["store", "peek", str(store.path), "2.jpg"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  features"))
    assert "float32 (4, 6)" in lines[at] and "stored as int8 (4, 6)" in lines[at + 1]
    assert "times float32 (4,)" in lines[at + 2] and str(store.row(2, raw=True)["features"][0, 1]) in lines[at + 1]


@pytest.mark.parametrize("format", ["arrow", "webdataset"])
def test_failed_inputs_tried_again_leave_the_scaled_rows_as_they_are(tmp_path, monkeypatch, format):
    monkeypatch.setattr(ToyReader, "fields", region_fields(8, 2, "int8"))
    options = {"format": format, "shard_rows": 5, "inline": True}
    run_job(Toy(), toy_source(tmp_path / "in", 8), tmp_path / "whole", **options)
    run_job(Toy(), toy_source(tmp_path / "in", 8, bad=[3, 6]), tmp_path / "store", **options)
    run_job(Toy(), toy_source(tmp_path / "in", 8), tmp_path / "store", retry_failed=True, **options)
    assert shard_bytes(tmp_path / "store") == shard_bytes(tmp_path / "whole")


def test_scales_that_are_no_numbers_are_found_by_verify(tmp_path):
    fields = region_fields(6, 0, "int8")
    row = region_row("a", 2, fields)
    row["feature_scales"][1] = np.nan
    store = rows_store(tmp_path / "s", [row], fields, "regions")
    assert "NaN" in next(problems for _, problems in verify(store.path) if problems)[0]


def test_fields_of_another_number_type_keep_their_places():
    fields = region_fields(6, 2)
    there = with_feature_dtype(fields, "int8")
    assert list(there) == ["key", "width", "height", "boxes", "features", "feature_scales", "classes", "class_scores",
                           "attributes", "attribute_scores"]
    assert list(with_feature_dtype(there, "float16").items()) == list(fields.items())
    assert read_fields(there) == region_fields(6, 2, "float32")
    with pytest.raises(HeedError, match="no features"):
        with_feature_dtype({"key": Field("string"), "features": Field("float32", (3,))}, "int8")
