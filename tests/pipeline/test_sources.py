import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from features.errors import HeedError
from pipeline.sources import Item, open_source, read_bytes


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


def test_the_digest_follows_keys_boxes_and_order_but_no_files_content(tmp_path):
    def digest(*rows):
        path = tmp_path / "list.jsonl"
        path.write_text("\n".join(json.dumps({"path": "x.jpg", **row}) for row in rows))
        return open_source(str(path)).digest()

    one, two, boxed = {"key": "1"}, {"key": "2"}, {"key": "2", "boxes": [[0, 0, 1, 1]]}
    before = digest(one, two)
    (tmp_path / "x.jpg").write_bytes(b"mended")
    assert digest(one, two) == before
    assert len({before, digest(two, one), digest(one), digest(one, boxed), digest(one, {"key": "3"})}) == 5


def tar_of(path, members):
    """A tar of (name, TarInfo attributes); a good file holds its own name."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, attributes in members:
            member = tarfile.TarInfo(name)
            for attribute, value in attributes.items():
                setattr(member, attribute, value)
            member.size = len(name) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(name.encode()))
    return path


def claim(path, place, size):
    """Let the header at byte ``place`` say ``size`` (a negative one in base 256), with a checksum that agrees."""
    data = bytearray(path.read_bytes())
    field = b"%011o\0" % size if size >= 0 else (256 ** 12 + size).to_bytes(12, "big")
    data[place + 124:place + 136] = field
    data[place + 148:place + 156] = b" " * 8
    data[place + 148:place + 156] = b"%06o\0 " % sum(data[place:place + 512])
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "attributes", "words"), [
    ("/etc/a.jpg", {}, "leads out of the tar"),
    ("../a.jpg", {}, "leads out of the tar"),
    ("b/../../a.jpg", {}, "leads out of the tar"),
    ("b\\..\\a.jpg", {}, "leads out of the tar"),
    ("a.jpg", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link to '/etc/passwd'"),
    ("a.jpg", {"type": tarfile.LNKTYPE, "linkname": "good.jpg"}, "is a link to 'good.jpg'"),
    ("a.jpg", {"type": tarfile.CHRTYPE}, "a device or a pipe"),
    ("a.jpg", {"type": tarfile.FIFOTYPE}, "a device or a pipe"),
])
def test_a_tar_member_that_must_not_be_read_fails_with_its_reason_and_the_others_do_not(
    tmp_path, name, attributes, words
):
    path = tar_of(tmp_path / "x.tar", [("good.jpg", {}), (name, attributes), ("a..b.jpg", {})])
    good, bad, other = open_source(str(path)).items
    assert bad.key == name and read_bytes(good) == b"good.jpg" and read_bytes(other) == b"a..b.jpg"
    with pytest.raises(HeedError, match=words):
        read_bytes(bad)


@pytest.mark.parametrize("size", [8 ** 11 - 1, 4096, -512, -1024, -(2 ** 80)])
@pytest.mark.parametrize("name", ["b.jpg", "notes.txt"])
def test_a_tar_member_of_absurd_size_fails_with_its_reason(tmp_path, name, size):
    path = tar_of(tmp_path / "x.tar", [("a.jpg", {}), (name, {})])
    path.write_bytes(path.read_bytes()[:2048])
    claim(path, 1024, size)
    try:
        good, bad = open_source(str(path)).items
    except HeedError as error:  # newer Pythons refuse a negative size themselves
        assert size < 0 and "damaged at byte 1024" in str(error)
        return
    assert read_bytes(good) == b"a.jpg" and bad.key == name
    with pytest.raises(HeedError, match="by its header"):
        read_bytes(bad)


def test_a_header_of_an_unknown_kind_cannot_lead_backwards(tmp_path):
    path = tar_of(tmp_path / "x.tar", [("a.jpg", {}), ("b.jpg", {"type": b"Z"})])
    claim(path, 1024, -1024)
    with pytest.raises(HeedError, match="damaged at byte 1024"):
        open_source(str(path))


@pytest.mark.parametrize("change", ["flip", "cut"])
def test_a_damaged_header_is_told_instead_of_ending_the_list(tmp_path, change):
    path = tar_of(tmp_path / "x.tar", [("a.jpg", {}), ("b.jpg", {}), ("c.jpg", {})])
    data = bytearray(path.read_bytes())
    if change == "flip":
        data[1024] ^= 1
    path.write_bytes(data if change == "flip" else data[:1024 + 100])
    with pytest.raises(HeedError, match="is damaged at byte 1024: what follows cannot be listed"):
        open_source(str(path))


def test_a_long_name_of_absurd_length_is_told(tmp_path):
    path = tar_of(tmp_path / "x.tar", [("n" * 200 + ".jpg", {})])
    claim(path, 0, -(2 ** 90))
    with pytest.raises(HeedError, match="cannot be read as an uncompressed tar"):
        open_source(str(path))


def test_a_tar_without_its_last_zeros_is_whole(tmp_path):
    path = tar_of(tmp_path / "x.tar", [("a.jpg", {}), ("b.jpg", {})])
    path.write_bytes(path.read_bytes()[:2048])
    assert [read_bytes(item) for item in open_source(str(path)).items] == [b"a.jpg", b"b.jpg"]


def test_one_name_twice_in_a_tar_is_refused(tmp_path):
    path = tar_of(tmp_path / "x.tar", [("a.jpg", {}), ("a.jpg", {})])
    with pytest.raises(HeedError, match=r"Two inputs have the key 'a\.jpg'"):
        open_source(str(path))


@pytest.mark.parametrize("listed", [True, False])
def test_an_input_beyond_the_limit_fails_unread(tmp_path, monkeypatch, listed):
    monkeypatch.setattr("pipeline.sources.MAX_BYTES", 4)
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "b.jpg").write_bytes(b"1234")
    long, short = open_source(str(tmp_path)).items
    assert read_bytes(short) == b"1234"
    with pytest.raises(HeedError, match="has 5 bytes; heed reads" if listed else "has more than 4 bytes"):
        read_bytes(long if listed else replace(long, size=-1))


def test_inputs_at_a_url_are_read_to_the_limit_only(monkeypatch):
    import fsspec

    monkeypatch.setattr("pipeline.sources.MAX_BYTES", 4)
    files = fsspec.filesystem("memory")
    files.pipe("/long", b"12345")
    files.pipe("/short", b"123")
    assert read_bytes(Item("short", "memory://short")) == b"123"
    with pytest.raises(HeedError, match="more than 4 bytes"):
        read_bytes(Item("long", "memory://long"))


def test_a_path_too_long_to_be_a_files_is_listed_and_fails_when_it_is_read(tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps({"key": "a", "path": "9" * 5000}))
    item = open_source(str(path)).items[0]
    assert item.size == -1
    with pytest.raises(HeedError):
        read_bytes(item)
