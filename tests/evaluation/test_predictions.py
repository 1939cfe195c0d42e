import json

import numpy as np
import pyarrow as pa
import pytest

from evaluation.predictions import (
    SCHEMA,
    CaptionAttention,
    MatchingPredictions,
    MatchingRow,
    write_matching,
)
from features.errors import HeedError


def seen(tokens=3, regions=4, axis=1, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.random((tokens, regions)).astype(np.float32)
    weights /= weights.sum(axis=axis, keepdims=True)
    spans = np.array([[-1, -1]] + [[4 * i, 4 * i + 3] for i in range(tokens - 1)], np.int32)
    return CaptionAttention(("<start>", *"abcdefgh"[:tokens - 1]), spans,
                            rng.random((regions, 4)).astype(np.float32) * 50, weights, 64, 48)


def rows(count=10, images=3, attention=seen):
    rng = np.random.default_rng(1)
    for i in range(count):
        yield MatchingRow(f"c{i}", f"image {i % images}.png", rng.normal(size=images).astype(np.float32),
                          attention(seed=i, regions=2 + i % 4) if attention else None)


IMAGES = [f"image {i}.png" for i in range(3)]


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_what_is_written_is_read(tmp_path, batch):
    path = tmp_path / "test.arrow"
    assert write_matching(path, IMAGES, "t2i", rows(), batch) == 10
    read, written = MatchingPredictions.read(path), list(rows())
    assert (read.images, read.direction, read.has_attention) == (IMAGES, "t2i", True)
    assert read.captions == [row.caption for row in written] and read.own == [row.image for row in written]
    np.testing.assert_array_equal(read.scores, np.stack([row.scores for row in written]))
    for i, row in enumerate(written):
        got = read.attention(i)
        assert (got.tokens, got.width, got.height) == (row.attention.tokens, 64, 48)
        for name in ("spans", "boxes", "weights"):
            np.testing.assert_array_equal(getattr(got, name), getattr(row.attention, name))


def test_rows_are_taken_one_batch_at_a_time(tmp_path):
    taken = []

    def stream():
        for row in rows(6):
            taken.append(row.caption)
            yield row
            if len(taken) == 4:
                raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError):
        write_matching(tmp_path / "p.arrow", IMAGES, "t2i", stream(), batch=2)
    assert list(tmp_path.iterdir()) == []  # half a file never takes the name


def test_without_attention(tmp_path):
    write_matching(tmp_path / "p.arrow", IMAGES, "i2t", rows(attention=None))
    read = MatchingPredictions.read(tmp_path / "p.arrow")
    assert not read.has_attention and read.attention(0) is None


def test_an_image_without_regions(tmp_path):
    empty = CaptionAttention(("a",), np.array([[0, 1]]), np.zeros((0, 4), np.float32), np.zeros((1, 0)), 9, 9)
    write_matching(tmp_path / "p.arrow", ["i"], "t2i", [MatchingRow("c", "i", np.zeros(1), empty)])
    assert MatchingPredictions.read(tmp_path / "p.arrow").attention(0).weights.shape == (1, 0)


def test_missing_truncated_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(HeedError, match="no predictions file"):
        MatchingPredictions.read(tmp_path / "none.arrow")
    path = tmp_path / "p.arrow"
    write_matching(path, IMAGES, "t2i", rows())
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(HeedError, match="not a whole Arrow file"):
            MatchingPredictions.read(path)
    table = pa.table({"caption": ["a"], "scores": [[1.0]]})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(HeedError, match="column 'image' is missing"):
        MatchingPredictions.read(path)


def write_raw(path, scores, metadata=None, captions=("a", "b")):
    metadata = metadata or {"images": json.dumps(["x", "y"]), "direction": "t2i"}
    schema = SCHEMA.with_metadata(metadata)
    columns = [{"caption": c, "image": "x", "scores": s} for c, s in zip(captions, scores, strict=True)]
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(columns, schema=schema))


@pytest.mark.parametrize(("scores", "said"), [
    ([[1, 2], [float("nan"), 1]], "'b' .* NaN or infinite"),
    ([[1, float("inf")], [1, 2]], "'a' .* NaN or infinite"),
    ([[1, 2], [1]], "'b' .* 1 scores for 2 images"),
    ([[1, 2, 3], [1, 2]], "'a' .* 3 scores for 2 images"),
    ([[1, 2], None], "'b' .* 0 scores for 2 images"),
])
def test_bad_scores_are_refused_by_caption(tmp_path, scores, said):
    write_raw(tmp_path / "p.arrow", scores)
    with pytest.raises(HeedError, match=said):
        MatchingPredictions.read(tmp_path / "p.arrow")


def test_bad_metadata_and_repeated_captions_are_refused(tmp_path):
    path, good = tmp_path / "p.arrow", [[1, 2], [3, 4]]
    for metadata in ({"images": "[1", "direction": "t2i"}, {"direction": "t2i"}, {"images": '["x", "y"]'}):
        write_raw(path, good, metadata)
        with pytest.raises(HeedError, match="do not say their images"):
            MatchingPredictions.read(path)
    write_raw(path, good, {"images": '["x", "y"]', "direction": "sideways"})
    with pytest.raises(HeedError, match="'sideways'"):
        MatchingPredictions.read(path)
    write_raw(path, good, captions=("a", "a"))
    with pytest.raises(HeedError, match="caption 'a' twice"):
        MatchingPredictions.read(path)


def test_writer_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(HeedError, match="for 2 images"):
        write_matching(tmp_path / "p", ["a", "b"], "t2i", [MatchingRow("c", "a", np.zeros(3))])
    crossed = seen(3, 4)
    crossed = CaptionAttention(crossed.tokens, crossed.spans, crossed.boxes, crossed.weights.T, 1, 1)
    with pytest.raises(HeedError, match="3 tokens and 4 regions"):
        write_matching(tmp_path / "p", ["a"], "t2i", [MatchingRow("c", "a", np.zeros(1), crossed)])
    with pytest.raises(HeedError, match="direction"):
        write_matching(tmp_path / "p", ["a"], "left", [])


def test_attention_that_contradicts_its_direction_is_refused(tmp_path):
    path = tmp_path / "p.arrow"
    for direction, axis in (("t2i", 1), ("i2t", 0)):
        write_matching(path, ["a"], direction, [MatchingRow("c", "a", np.zeros(1), seen(axis=axis))])
        assert MatchingPredictions.read(path).attention(0) is not None
        write_matching(path, ["a"], direction, [MatchingRow("c", "a", np.zeros(1), seen(axis=1 - axis))])
        with pytest.raises(HeedError, match="do not sum to 1"):
            MatchingPredictions.read(path).attention(0)
