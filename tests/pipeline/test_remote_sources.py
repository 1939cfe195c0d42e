"""Sources at URLs: in memory, on a real S3 server, and on a web server that fails now and then."""

import importlib.util
import io
import json
import tarfile
import time
import zipfile

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import heed
from features.errors import HeedError
from pipeline import retries, sources
from pipeline.identity import Identity
from pipeline.job import run_job
from pipeline.places import Remote
from pipeline.sources import Item, open_source, read_bytes
from pipeline.store import Store
from tests.pipeline.flaky import flaky_server
from tests.pipeline.toy import Toy

needs_aiohttp = pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")
FILES = {"b/one.jpg": b"input 1", "a.b/two.JPG": b"bad", "a b#c?.png": b"input 3", "notes.txt": b"none"}


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("HEED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(retries, "FIRST", 0.005)


@pytest.fixture
def root(request):
    name = request.node.name.replace("[", "-").rstrip("]")
    where = request.getfixturevalue("bucket") if getattr(request, "param", "") == "s3" else "memory:/"
    return Remote(f"{where}/{name}")


both = pytest.mark.parametrize("root", ["memory", "s3"], indirect=True)


def tar_of(names):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return data.getvalue()


def test_a_folder_gives_the_keys_that_a_local_one_gives(tmp_path, root):
    for name, data in FILES.items():
        (root / "images" / name).write_bytes(data)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    here, there = open_source(str(tmp_path)), open_source(f"{root}/images/")
    assert [(item.key, item.size) for item in there.items] == [(item.key, item.size) for item in here.items]
    assert [read_bytes(item) for item in there.items] == [read_bytes(item) for item in here.items]
    assert (there.digest(), there.skipped) == (here.digest(), 1)


def write_list(rows, suffix):
    sink = io.BytesIO()
    if suffix == ".jsonl":
        sink.write("\n".join(map(json.dumps, rows)).encode())
    elif suffix == ".csv":
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows), sink)
    else:
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_list_names_files_beside_it_at_its_root_and_anywhere(root, suffix):
    paths = {"beside": "x.jpg", "above": "../images/y.jpg", "root": f"/{root.name}/z.jpg", "else": "memory://other/w.jpg"}
    if root.scheme == "memory":  # the first part of the path stands for the bucket
        paths["root"] = "/z.jpg"
    rows = [{"key": key, "path": path, "boxes": "[[0, 0, 1, 2]]"} for key, path in paths.items()]
    (root / f"lists/all{suffix}").write_bytes(write_list(rows, suffix))
    for file in (root / "lists/x.jpg", root / "images/y.jpg", root / "z.jpg", Remote("memory://other/w.jpg")):
        file.write_bytes(str(file).encode())
    items = open_source(f"{root}/lists/all{suffix}").items
    assert [item.key for item in items] == list(paths) and all(item.boxes.tolist() == [[0, 0, 1, 2]] for item in items)
    assert [read_bytes(item).decode().rpartition("/")[2] for item in items] == ["x.jpg", "y.jpg", "z.jpg", "w.jpg"]


@needs_aiohttp
def test_a_list_on_the_web_names_files_as_a_page_does(tmp_path):
    rows = [{"key": "1", "path": "x y.jpg"}, {"key": "2", "path": "../y.jpg"}, {"key": "3", "path": "/z.jpg"}]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/all.jsonl").write_bytes(write_list(rows, ".jsonl"))
    for name in ("lists/x y.jpg", "y.jpg", "z.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    with flaky_server(tmp_path) as web:
        web.failures = {"/lists/all.jsonl": ["busy", "short"], "/y.jpg": ["reset"]}
        items = open_source(f"{web.url}/lists/all.jsonl").items
        assert [read_bytes(item) for item in items] == [b"lists/x y.jpg", b"y.jpg", b"z.jpg"]


@needs_aiohttp
def test_a_folder_on_the_web_is_listed_from_its_page(tmp_path):
    (tmp_path / "images/a.b").mkdir(parents=True)
    for name in ("images/one.jpg", "images/a.b/two.jpg", "images/notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    with flaky_server(tmp_path) as web:
        source = open_source(f"{web.url}/images")
        assert [item.key for item in source.items] == ["a.b/two.jpg", "one.jpg"] and source.skipped == 1
        assert [read_bytes(item) for item in source.items] == [b"images/a.b/two.jpg", b"images/one.jpg"]


@both
def test_tar_members_are_read_from_where_they_lie(root):
    names = [f"{number:03d}.jpg" for number in range(50)]
    (root / "t-0.tar").write_bytes(tar_of([*names, "notes.txt"]))
    (root / "t-1.tar").write_bytes(tar_of(["other.jpg", "../out.jpg"]))
    source = open_source(f"{root}/t-*.tar")
    assert [item.key for item in source.items] == [*names, "other.jpg", "../out.jpg"] and source.skipped == 1
    assert [read_bytes(item).decode() for item in source.items[::10]] == [*names[::10], "other.jpg"]
    with pytest.raises(HeedError, match="leads out of the tar"):
        read_bytes(source.items[-1])


def test_a_tar_of_small_members_is_listed_in_few_requests(root, monkeypatch):
    (root / "t.tar").write_bytes(tar_of([f"{number}.jpg" for number in range(500)]))
    asked = []
    original = Remote.read_range
    monkeypatch.setattr(Remote, "read_range", lambda *arguments: asked.append(1) or original(*arguments))
    assert len(open_source(f"{root}/t.tar").items) == 500 and len(asked) <= 3


@pytest.mark.parametrize(("name", "words"), [
    ("nothing", "There is nothing at memory://"), ("nothing.tar", r"There is no file memory://.*/nothing\.tar"),
    ("nothing.csv", r"There is no file memory://.*/nothing\.csv"), ("no-*.tar", "holds no images"),
    ("texts", "holds no images .1 other files"), ("cut.tar", r"cut\.tar cannot be read as an uncompressed tar"),
    ("bad.jsonl", r"The list memory://.*/bad\.jsonl cannot be read"),
])
def test_what_is_no_source_is_told_in_a_sentence(root, name, words):
    (root / "texts/notes.txt").write_bytes(b"")
    (root / "cut.tar").write_bytes(b"x" * 2000)
    (root / "bad.jsonl").write_bytes(b"{")
    with pytest.raises(HeedError, match=words):
        open_source(f"{root}/{name}")


@needs_aiohttp
def test_inputs_that_cannot_be_had_fail_with_their_reasons_and_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SECONDS", 0.2)
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(f"input {number}".encode())
    rows = [{"key": str(number), "path": f"{number}.jpg"} for number in range(7)]
    rows.append({"key": "dead", "path": "http://127.0.0.1:9/x.jpg"})
    (tmp_path / "all.jsonl").write_bytes(write_list(rows, ".jsonl"))
    with flaky_server(tmp_path) as web:
        web.failures = {"/1.jpg": ["busy", "reset", "short"], "/2.jpg": ["busy"] * 1000, "/3.jpg": ["forbidden"]}
        summary = run_job(Toy(), open_source(f"{web.url}/all.jsonl"), tmp_path / "store", inline=True)
    reasons = {failure["key"]: failure["reason"] for failure in summary.failures}
    assert summary.stored == 4 and list(reasons) == ["2", "3", "6", "dead"]
    assert "does not answer: HTTP status 503" in reasons["2"] and "access is denied" in reasons["3"]
    assert reasons["6"] == "cannot be read: it is not there" and "does not answer" in reasons["dead"]
    assert [Store.open(tmp_path / "store").find(str(number)) for number in range(6)] == [0, 1, None, None, 2, 3]


def test_dead_inputs_are_not_asked_for_as_long_as_stores_are(monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    now = iter(range(0, 100_000, 5))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    monkeypatch.setattr(Remote, "size", lambda self: retries.retried(refused, self.url, self.patience))

    def refused():
        raise ConnectionRefusedError

    with pytest.raises(HeedError, match="does not answer"):
        read_bytes(Item("x", "http://host/x.jpg"))
    assert len(waited) == sources.SECONDS / 5 - 1


def test_a_file_in_an_archive_at_a_url_is_read_through_both(root):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("x.jpg", b"input")
    (root / "a.zip").write_bytes(data.getvalue())
    assert read_bytes(Item("x", f"zip://x.jpg::{root}/a.zip")) == b"input"


def test_a_member_shorter_than_listed_and_a_file_of_no_bytes_are_told_and_read(root):
    (root / "x").write_bytes(b"123")
    (root / "empty").write_bytes(b"")
    assert read_bytes(Item("x", f"{root}/x", 2, 1)) == b"23" and read_bytes(Item("x", f"{root}/empty", 0)) == b""
    assert read_bytes(Item("x", f"{root}/empty")) == b""
    with pytest.raises(HeedError, match="has 3 bytes where 5 were listed"):
        read_bytes(Item("x", f"{root}/x", 5))


def test_a_password_in_a_url_is_not_kept_in_the_store(tmp_path, root):
    source = sources.Source("https://me:secret@host/list.csv", [Item("1", f"{root}/x")], 0)
    (root / "x").write_bytes(b"input")
    run_job(Toy(), source, tmp_path / "store", inline=True)
    assert Identity.read(tmp_path / "store").source["uri"] == "https://host/list.csv"


@both
def test_extraction_from_url_to_url_on_the_command_line(root, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.detect.DetectRegions", lambda *_: Toy())
    for name, data in FILES.items():
        (root / "images" / name).write_bytes(data)
    command = ["extract", "regions", f"{root}/images", f"{root}/store", "--inline", "--shard-rows", "2"]
    assert heed.main(command) == 3
    assert f"{root}/store: 2 of 3 images stored in 2 shards" in capsys.readouterr().out
    store = Store.open(root / "store")
    assert [store.find(key) for key in ("a b#c?.png", "a.b/two.JPG", "b/one.jpg")] == [0, None, 1]
    before = {name: (root / "store/shards" / name).read_bytes() for name in (root / "store/shards").files()}
    (root / "store/shards/000001.arrow").unlink()
    assert heed.main(["store", "repair", f"{root}/store"]) == 0
    assert {name: (root / "store/shards" / name).read_bytes() for name in before} == before
