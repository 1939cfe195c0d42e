import base64
import json

import numpy as np
import pytest

from features.errors import HeedError
from pipeline.exchange import butd_tsv, exchange_format, lxmert_tsv
from pipeline.importer import open_import
from pipeline.job import run_job
from pipeline.store import Store
from tests.shared import SHARED, needs_shared


def b64(array, dtype):
    return base64.b64encode(np.asarray(array, dtype).tobytes()).decode()


def arrays(n, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (n, 2))
    return np.concatenate([corner, corner + 9], 1).astype("<f4"), rng.uniform(0, 5, (n, 6)).astype("<f4")


def butd_line(key, n, seed, wrap="{}"):
    boxes, features = arrays(n, seed)
    return "\t".join([key, "80", "60", str(n), wrap.format(b64(boxes, "<f4")), wrap.format(b64(features, "<f4"))])


def lxmert_line(key, n, seed):
    boxes, features = arrays(n, seed)
    ids, scores = np.arange(n), np.linspace(0, 1, n)
    return "\t".join([key, "60", "80", b64(ids, "<i8"), b64(scores, "<f4"), b64(ids + 5, "<i8"), b64(scores / 2, "<f4"),
                      str(n), b64(boxes, "<f4"), b64(features, "<f4")])


def imported(tmp_path, format_name, text, **options):
    path = tmp_path / "features.tsv"
    path.write_text(text)
    source, spec = open_import(format_name, path, "float32")
    summary = run_job(spec, source, tmp_path / "store", inline=True, shard_rows=2, **options)
    return Store.open(tmp_path / "store"), summary


def test_butd_reads_width_before_height_and_has_no_classes(tmp_path):
    store, _ = imported(tmp_path, "butd-tsv", butd_line("7", 3, 0) + "\n" + butd_line("8", 2, 1) + "\n")
    read = store.regions(store.find("8"))
    boxes, features = arrays(2, 1)
    assert (read.width, read.height) == (80, 60)
    assert np.array_equal(read.boxes, boxes) and np.array_equal(read.features, features)
    assert read.classes.tolist() == [-1, -1]


def test_lxmert_reads_height_before_width_with_ids_and_confidences(tmp_path):
    store, _ = imported(tmp_path, "lxmert-tsv", lxmert_line("a.b", 3, 0))
    read = store.regions(0)
    assert (read.width, read.height) == (80, 60) and store.find("a.b") == 0
    assert read.classes.tolist() == [0, 1, 2] and read.attributes.tolist() == [[5], [6], [7]]
    assert np.allclose(read.class_scores, [0, 0.5, 1]) and np.allclose(read.attribute_scores[:, 0], [0, 0.25, 0.5])


def test_the_b_quote_of_python_3_writers_is_taken_off(tmp_path):
    store, _ = imported(tmp_path, "butd-tsv", butd_line("7", 3, 0, wrap="b'{}'"))
    assert np.array_equal(store.regions(0).features, arrays(3, 0)[1])


def test_a_half_written_last_line_is_a_counted_failure(tmp_path):
    text = "\n".join(butd_line(str(i), 3, i) for i in range(3))
    _, summary = imported(tmp_path, "butd-tsv", text[:-40])
    assert summary.stored == 2 and summary.status == 3
    assert summary.failures[0]["key"] == "2"


@pytest.mark.parametrize(("column", "value", "words"), [
    (3, "4", "boxes holds 48 bytes, which is not 4 <f4 for each of 4 boxes"),
    (3, "x", "num_boxes is b'x'"),
    (3, "99999999", "cannot be"), (4, "!!!!", "not base64"),
    (5, "", "each region has 0 features where the store holds 6"),
    (1, "10", "lies outside its image of 10 x 60"),
])
def test_damaged_columns_are_counted_failures_with_reasons(tmp_path, column, value, words):
    line = butd_line("1", 3, 1).split("\t")
    line[column] = value
    _, summary = imported(tmp_path, "butd-tsv", butd_line("0", 3, 0) + "\n" + "\t".join(line) + "\n")
    assert summary.stored == 1 and words in summary.failures[0]["reason"]


def test_a_file_of_the_other_layout_is_refused(tmp_path):
    with pytest.raises(HeedError, match="10 columns where 6 are expected"):
        imported(tmp_path, "butd-tsv", lxmert_line("a", 3, 0))


def test_a_wrong_format_name_suggests_the_right_one():
    with pytest.raises(HeedError, match="Did you mean 'lxmert-tsv'"):
        exchange_format("lxmert_tsv")


def test_listing_reads_no_more_than_a_line_and_finds_every_offset(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("\n".join(butd_line(str(i), i, i) for i in range(5)) + "\n\n")
    items = list(butd_tsv.items(path))
    assert [item.key for item in items] == list("01234")
    assert [len(butd_tsv.read(item)) for item in items] == [0, 1, 2, 3, 4]


@needs_shared
def test_the_real_lxmert_file_gives_the_golden_figures(tmp_path):
    golden = json.loads((SHARED / "golden" / "butd_tsv.json").read_text())
    names = (SHARED / "data" / "vocab" / "vg_objects_vocab.txt").read_text().split("\n")
    path = SHARED / "data" / "butd_features" / "train2014_obj36.tsv"
    source, spec = open_import("lxmert-tsv", path, "float32")
    run_job(spec, source, tmp_path / "store", inline=True)
    store = Store.open(tmp_path / "store")
    assert len(store) == golden["rows"] and spec.dim == golden["dim"]
    first = store.regions(0)
    assert {len(store.regions(i)) for i in range(len(store))} == {golden["boxes"]}
    assert (first.height, first.width) == (golden["first_row"]["height"], golden["first_row"]["width"])
    assert np.allclose(first.boxes[0], golden["first_row"]["box_0"], atol=1e-4)

    def objects(row):
        return [names[c].split(",")[0] for c in store.regions(row).classes[:6]]

    assert objects(0) == golden["first_row"]["first_objects"]
    for name in ("084002", "201446"):
        assert objects(store.find(f"COCO_train2014_000000{name}")) == golden[f"{name}_first_objects"]
    # The same rows, written as bottom-up attention writes them, give the same boxes and features.
    butd = tmp_path / "butd.tsv"
    with butd.open("w") as file:
        for line in path.read_text().splitlines():
            key, height, width, *_, count, boxes, features = line.split("\t")
            file.write("\t".join([key, width, height, count, boxes, features]) + "\n")
    again = [butd_tsv.read(item) for item in butd_tsv.items(butd)]
    for row, item in enumerate(lxmert_tsv.items(path)):
        one = lxmert_tsv.read(item)
        assert np.array_equal(one.features, again[row].features) and np.array_equal(one.boxes, again[row].boxes)
        assert (one.width, one.height) == (again[row].width, again[row].height)
