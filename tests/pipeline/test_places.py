import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from features.errors import HeedError
from pipeline import filesystems, retries
from pipeline.atomic import atomic_write, scratch
from pipeline.places import Remote, files_in, place, read_all, size_of
from tests.pipeline.flaky import flaky_server

needs_aiohttp = pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "FIRST", 0.005)


@pytest.fixture
def memory(request):
    """A folder in memory of this test's own."""
    return Remote(f"memory://{request.node.name.replace('[', '-').rstrip(']')}")


@pytest.fixture
def web(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 40)
    with flaky_server(tmp_path) as server:
        yield server


@pytest.mark.parametrize(("where", "expected"), [
    ("/data/store", Path("/data/store")), ("store", Path("store")), (Path("store"), Path("store")),
    ("file:///data/store", Path("/data/store")), ("s3://bucket/a/b/", Remote("s3://bucket/a/b")),
    (Remote("s3://bucket/a"), Remote("s3://bucket/a")), ("memory://", Remote("memory://")),
    (Path("s3://bucket/a"), Remote("s3://bucket/a")), ("hf://datasets/u/r@main/x", Remote("hf://datasets/u/r@main/x")),
])
def test_a_place_is_a_path_or_a_url(where, expected):
    found = place(where)
    assert found == expected and type(found) is type(expected)


def test_chained_urls_are_refused():
    with pytest.raises(HeedError, match="chains URLs"):
        place("simplecache::s3://bucket/store")
    assert place("s3://bucket/a::b") == Remote("s3://bucket/a::b")  # a name


def test_names_are_joined_before_a_query():
    assert str(Remote("https://host/store?key=1") / "store.json") == "https://host/store/store.json?key=1"
    assert str(Remote("s3://bucket/what?") / "x") == "s3://bucket/what?/x"
    url = Remote("s3://bucket/a/b.tar")
    assert (url.name, str(url.parent), url.scheme) == ("b.tar", "s3://bucket/a", "s3")
    assert Remote("s3://bucket").parent == Remote("s3://bucket")


def test_a_remote_folder_is_written_listed_read_and_emptied(memory):
    assert not memory.exists() and memory.names() == [] and files_in(memory) == {} and memory.find() == {}
    (memory / "x").write_bytes(b"12345")
    (memory / "below/y").write_bytes(b"1")
    assert memory.is_dir() and not memory.is_file() and (memory / "x").is_file()
    assert memory.names() == ["below", "x"] and files_in(memory) == {"x": 5}
    assert memory.find() == {"x": 5, "below/y": 1}
    file = memory / "x"
    assert (file.size(), size_of(file), file.read_bytes(), file.read_range(1, 3)) == (5, 5, b"12345", b"23")
    assert file.read_range(4, 9) == b"5" and file.read_range(3, 3) == b"" and file.read_at_most(2) == b"12"
    file.unlink()
    with pytest.raises(FileNotFoundError):
        file.unlink()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    assert file.size() is None and not file.exists()


def test_a_file_is_created_once_only(memory):
    assert (memory / "x").create(b"one") and not (memory / "x").create(b"two")
    assert (memory / "x").read_bytes() == b"one"


def test_two_creators_at_one_moment_are_told_apart_by_the_server(memory, monkeypatch):
    (memory / "x").write_bytes(b"one")
    monkeypatch.setattr(Remote, "is_file", lambda self: False)  # it came between the look and the writing
    assert not (memory / "x").create(b"two") and (memory / "x").read_bytes() == b"one"


def test_many_files_are_read_in_order_and_missing_ones_are_none(memory, tmp_path):
    for number in range(0, 100, 2):
        (memory / str(number)).write_bytes(str(number).encode())
        (tmp_path / str(number)).write_bytes(str(number).encode())
    expected = [str(number).encode() if number % 2 == 0 else None for number in range(100)]
    assert read_all([memory / str(number) for number in range(100)]) == expected
    assert read_all([tmp_path / str(number) for number in range(100)]) == expected and read_all([]) == []


def test_an_open_file_is_sought_and_read_in_few_requests(memory):
    data = os.urandom(1000)
    (memory / "x").write_bytes(data)
    with (memory / "x").open() as file:
        assert file.read(10) == data[:10] and file.seek(-20, io.SEEK_END) == 980 and file.read() == data[980:]
        assert file.seek(500) == 500 and file.read(4) == data[500:504] and file.tell() == 504
    with pytest.raises(FileNotFoundError):
        (memory / "y").open()


def test_an_atomic_write_to_a_url_is_seen_only_when_it_ends(memory, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with atomic_write(memory / "x") as file:
        file.write(b"whole")
        assert not (memory / "x").exists() and len(list(tmp_path.rglob("x.*"))) == 1
    assert (memory / "x").read_bytes() == b"whole" and not list(tmp_path.rglob("x.*"))
    with pytest.raises(RuntimeError), atomic_write(memory / "x") as file:
        file.write(b"other")
        raise RuntimeError
    assert (memory / "x").read_bytes() == b"whole" and not list(tmp_path.rglob("x.*"))


def test_what_a_killed_writer_has_left_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = os.fork()
    if not killed:
        with scratch("left"):
            os._exit(9)  # as SIGKILL does, without leaving the block
    os.waitpid(killed, 0)
    assert len(list(tmp_path.rglob("left.*"))) == 1
    with scratch("mine") as mine, scratch("other"):
        assert not list(tmp_path.rglob("left.*")) and Path(mine.name).exists()


def test_a_web_server_is_only_read():
    with pytest.raises(HeedError, match="https:// is only read"):
        Remote("https://host/x").write_bytes(b"")


@needs_aiohttp
@pytest.mark.parametrize("failures", [
    ["busy"], ["throttled", "broken"], ["reset", "reset"], ["short"], ["short", "reset"],
])
def test_a_file_comes_whole_through_passing_failures(web, failures):
    data = (web.folder / "a").read_bytes()
    for read in (lambda file: file.read_bytes(), lambda file: file.read_range(0, len(data))):
        web.failures["/a"], before = list(failures), web.gets["/a"]
        assert read(Remote(f"{web.url}/a")) == data
        assert web.gets["/a"] - before >= len(failures) + 1  # aiohttp asks once more itself after a reset


@needs_aiohttp
def test_a_missing_file_and_a_forbidden_one_are_told_at_once(web):
    with pytest.raises(FileNotFoundError):
        Remote(f"{web.url}/b").read_bytes()
    web.failures["/a"] = ["forbidden"]
    with pytest.raises(HeedError, match=f"{web.url}/a: access is denied .HTTP status 403"):
        Remote(f"{web.url}/a").read_bytes()
    assert web.gets == {"/a": 1, "/b": 1}


@needs_aiohttp
def test_a_server_that_never_answers_well_is_given_up_at_the_deadline(web):
    web.failures["/a"] = ["busy"] * 10_000
    with pytest.raises(HeedError, match="/a does not answer: HTTP status 503"):
        Remote(f"{web.url}/a", patience=0.2).read_bytes()
    assert 3 <= web.gets["/a"] < 200


@needs_aiohttp
def test_ranges_are_cut_out_where_the_server_knows_none(tmp_path):
    data = os.urandom(1000)
    (tmp_path / "a").write_bytes(data)
    with flaky_server(tmp_path, ranges=False) as web:
        file = Remote(f"{web.url}/a")
        assert file.read_range(100, 200) == data[100:200] and file.read_first(10) == data
        assert file.read_at_most(10) == data[:10] and file.size() == 1000


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(HeedError, match=r"gs:// needs a package that is not installed: pip install 'heed\[remote\]'"):
        Remote("gs://bucket/x").read_bytes()


def test_a_kind_of_place_that_nobody_knows_is_told():
    with pytest.raises(HeedError, match="no nonsense://"):
        Remote("nonsense://bucket/x").read_bytes()


def test_one_file_system_serves_all_threads_and_a_forked_process_takes_its_own(memory):
    (memory / "x").write_bytes(b"1")
    before = dict(filesystems._filesystems)
    read_all([memory / "x"] * 40)
    assert filesystems._filesystems == before
    with filesystems._opening:  # as another thread may hold it at that moment
        child = os.fork()
        if not child:
            os._exit((memory / "x").read_bytes() != b"1" or len(filesystems._filesystems) != 1)
    assert os.waitpid(child, 0)[1] == 0


def test_fsspec_is_imported_only_for_urls():
    code = ("import sys, json; import pipeline.store; from pipeline.places import place; place('/x'); "
            "print(json.dumps([name for name in ('fsspec', 'aiohttp', 's3fs') if name in sys.modules]))")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
