import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from features.errors import HeedError
from pipeline.sources import open_source, read_bytes


def test_a_folder_gives_whole_relative_paths_sorted_and_counts_the_rest(tmp_path):
    for name in ("b/a.b.jpg", "b/a.c.jpg", "a.PNG", "notes.txt", "b/thumbs.db"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    source = open_source(str(tmp_path))
    assert [item.key for item in source.items] == ["a.PNG", "b/a.b.jpg", "b/a.c.jpg"]
    assert source.skipped == 2
    assert [read_bytes(item) for item in source.items] == [b"a.PNG", b"b/a.b.jpg", b"b/a.c.jpg"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_lists_give_keys_paths_and_boxes(tmp_path, suffix):
    (tmp_path / "x.jpg").write_bytes(b"x")
    rows = [{"key": "one.two", "path": "x.jpg", "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]},
            {"key": "gone", "path": "y.jpg"}]
    path = tmp_path / f"list{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif suffix == ".csv":
        path.write_text('key,path,boxes\none.two,x.jpg,"[[1,2,3,4],[5,6,7,8]]"\ngone,y.jpg,\n')
    else:
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    one, gone = open_source(str(path)).items
    assert one.key == "one.two" and read_bytes(one) == b"x" and gone.boxes is None
    assert np.array_equal(one.boxes, np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32))
    with pytest.raises(HeedError, match="cannot be read"):
        read_bytes(gone)


def test_tar_members_are_read_from_where_they_lie(tmp_path):
    for part in range(2):
        with tarfile.open(tmp_path / f"{part}.tar", "w") as tar:
            for name in (f"{part}/a.b.jpg", f"{part}/note.txt"):
                member = tarfile.TarInfo(name)
                member.size = len(name)
                tar.addfile(member, io.BytesIO(name.encode()))
    source = open_source(str(tmp_path / "*.tar"))
    assert [item.key for item in source.items] == ["0/a.b.jpg", "1/a.b.jpg"] and source.skipped == 2
    assert [read_bytes(item) for item in source.items] == [b"0/a.b.jpg", b"1/a.b.jpg"]


def test_a_file_cut_short_since_it_was_listed_is_told(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    item = open_source(str(tmp_path)).items[0]
    path.write_bytes(b"123")
    with pytest.raises(HeedError, match="3 bytes where 5"):
        read_bytes(item)


@pytest.mark.parametrize(("content", "words"), [
    ('{"key": "a", "path": "x"}\n{"key": "a", "path": "y"}', "Two inputs have the key 'a'"),
    ('{"key": "a"}', "Row 1 .* lacks a key or a path"),
    ('{"key": "a", "path": "x", "boxes": [1, 2, 3]}', "boxes are not a list"),
    ("not json", "cannot be read"),
    ("", "holds no images"),
])
def test_a_bad_list_is_told_in_a_sentence(tmp_path, content, words):
    path = tmp_path / "list.jsonl"
    path.write_text(content)
    with pytest.raises(HeedError, match=words):
        open_source(str(path))


@pytest.mark.parametrize(("name", "words"), [("nowhere", "There is no"), ("nowhere.csv", "There is no file"),
                                             ("note.txt", "neither a folder nor a list"), ("", "holds no images")])
def test_what_is_no_source_is_told_in_a_sentence(tmp_path, name, words):
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(HeedError, match=words):
        open_source(str(tmp_path / name) if name else str(tmp_path))


def test_the_digest_follows_keys_sizes_boxes_and_order(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "b.jpg").write_bytes(b"22")
    before = open_source(str(tmp_path)).digest()
    assert open_source(str(tmp_path)).digest() == before
    (tmp_path / "b.jpg").write_bytes(b"333")
    assert open_source(str(tmp_path)).digest() != before
