from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from evaluation.attention_file import SCHEMA, AttentionFile, Side, StepAttention, no_boxes, write_attention
from features.errors import HeedError


def row(sample, step, name, queries=1, keys=5, words=False, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.random((queries, keys)).astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    boxes = rng.random((keys, 4)).astype(np.float32) * 50
    spans = np.array([[3 * i, 3 * i + 2] for i in range(keys)])
    side = Side.words("abcdefgh"[:keys], spans) if words else Side.regions(boxes, [f"thing {i}" for i in range(keys)])
    return StepAttention(sample, f"{sample}.png", step, name, Side.words(["state"] * queries), side, weights, 64, 48)


def rows():
    for number in range(4):
        for step in range(3):
            yield row(f"q{number}", step, "control", keys=3 + number, words=True, seed=number)
            yield row(f"q{number}", step, "read", keys=2 + number, seed=10 + number)


def same(got, written):
    assert (got.id, got.image, got.step, got.name, got.width, got.height) == (
        written.id, written.image, written.step, written.name, written.width, written.height)
    assert got.queries.labels == written.queries.labels and got.keys.labels == written.keys.labels
    np.testing.assert_array_equal(got.queries.spans, written.queries.spans)
    np.testing.assert_array_equal(got.keys.spans, written.keys.spans)
    np.testing.assert_array_equal(got.keys.boxes, written.keys.boxes)
    np.testing.assert_array_equal(got.weights, written.weights)


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_what_is_written_is_read(tmp_path, batch):
    path = tmp_path / "test.attention.arrow"
    assert write_attention(path, rows(), batch) == 24
    read = AttentionFile.read(path)
    assert len(read) == 24 and list(read.rows) == ["q0", "q1", "q2", "q3"]
    for got, written in zip(read, rows(), strict=True):
        same(got, written)
    assert [(one.step, one.name) for one in read.of("q2", "read")] == [(0, "read"), (1, "read"), (2, "read")]
    assert len(read.of("q2")) == 6 and read.of("nobody") == []


def test_keys_may_be_words_regions_and_neither_together(tmp_path):
    words = Side.words(["what", "is"], np.array([[0, 4], [5, 7]]))
    keys = words + Side.regions(np.array([[0, 0, 9, 9]]), ["stop"]) + Side.words(["<step 0>"])
    written = StepAttention("q", "a.png", 1, "decoder step", Side.words(["<step 1>"]), keys,
                            np.full((1, 4), 0.25, np.float32), 9, 9)
    write_attention(tmp_path / "a.arrow", [written])
    got = AttentionFile.read(tmp_path / "a.arrow")[0]
    same(got, written)
    assert got.keys.in_text.tolist() == [True, True, False, False]
    assert got.keys.in_image.tolist() == [False, False, True, False]


def test_a_query_that_could_attend_to_nothing_is_allowed_and_half_an_attention_is_not(tmp_path):
    nothing = replace(row("q", 0, "read"), weights=np.zeros((1, 5), np.float32))
    write_attention(tmp_path / "a.arrow", [nothing, row("q", 1, "read", keys=0, queries=0)])
    assert AttentionFile.read(tmp_path / "a.arrow")[0].weights.sum() == 0
    for weights, told in ((np.full((1, 5), 0.1, np.float32), "do not sum to 1"),
                          (np.full((1, 5), np.nan, np.float32), "NaN"),
                          (np.array([[1.5, -0.5, 0, 0, 0]], np.float32), "negative"),
                          (np.full((5, 1), 1, np.float32), r"shape \(5, 1\) for 1 queries and 5 keys")):
        with pytest.raises(HeedError, match=rf"'read' of 'q' at step 0 has weights.*{told}"):
            write_attention(tmp_path / "b.arrow", [replace(nothing, weights=weights)])
    assert not (tmp_path / "b.arrow").exists()


def test_sides_whose_shapes_disagree_are_refused(tmp_path):
    broken = replace(row("q", 0, "read"), keys=Side(("a",) * 5, np.zeros((4, 2), np.int32), no_boxes(5)))
    with pytest.raises(HeedError, match=r"spans of shape \(4, 2\)"):
        write_attention(tmp_path / "b.arrow", [broken])


def test_other_files_and_damaged_ones_are_told(tmp_path):
    path = tmp_path / "a.arrow"
    with pytest.raises(HeedError, match="there is no attention file"):
        AttentionFile.read(path)
    write_attention(path, rows())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HeedError, match="not a whole Arrow file"):
        AttentionFile.read(path)
    with pa.ipc.new_file(str(path), pa.schema([pa.field("id", pa.string())])):
        pass
    with pytest.raises(HeedError, match="column 'image' is missing"):
        AttentionFile.read(path)
    write_attention(path, [])
    with pytest.raises(HeedError, match="holds no rows"):
        AttentionFile.read(path)
    cells = {"id": "q", "image": "i", "step": 0, "name": "read", "queries": ["a"], "query_spans": [[-1, -1]],
             "keys": ["x", "y"], "key_spans": [[-1, -1]] * 2, "boxes": [[0, 0, 1, 1]] * 2, "weights": [1.0],
             "width": 1, "height": 1}
    with pa.ipc.new_file(str(path), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist([cells], schema=SCHEMA))
    with pytest.raises(HeedError, match=r"in .*a.arrow has 1 weights for 1 queries and 2 keys"):
        AttentionFile.read(path)[0]
