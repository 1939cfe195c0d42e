"""Stores at URLs: on a real S3 server, in memory, and from a web server."""

import importlib.util
import json
import os
import pickle
import signal
import time

import numpy as np
import pytest

import heed
from features.errors import HeedError
from pipeline import filesystems, retries
from pipeline.cache import ShardCache
from pipeline.convert import open_convert
from pipeline.exporter import export
from pipeline.identity import Identity, ShardRecord
from pipeline.index import INDEX_FILE
from pipeline.job import run_job
from pipeline.places import Remote
from pipeline.store import Store
from pipeline.verify import strays, verify
from tests.pipeline.flaky import flaky_server
from tests.pipeline.toy import Toy, shard_bytes, toy_source

needs_aiohttp = pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")


@pytest.fixture
def root(request):
    """A remote folder of this test's own: in memory, and where a test is marked with `both` on the S3 server too."""
    name = request.node.name.replace("[", "-").rstrip("]")
    where = request.getfixturevalue("bucket") if getattr(request, "param", "") == "s3" else "memory:/"
    return Remote(f"{where}/{name}")


both = pytest.mark.parametrize("root", ["memory", "s3"], indirect=True)


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """A cache and a folder for temporary files of this test's own, and short pauses."""
    monkeypatch.setenv("HEED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(retries, "FIRST", 0.005)


def run(tmp_path, store, count=23, bad=(), **options):
    source = toy_source(tmp_path / "in", count, bad)
    return run_job(Toy(), source, store, **{"shard_rows": 5, "inline": True, **options})


def remote_bytes(store):
    return {name: (store / "shards" / name).read_bytes() for name in (store / "shards").files()}


def damage(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def problems(store, **options):
    return {part: found[0] for part, found in verify(store, **options) if found}


@pytest.mark.parametrize(("root", "format_name"), [
    ("s3", "arrow"), ("memory", "arrow"), ("memory", "webdataset"),
], indirect=["root"])
def test_a_remote_store_holds_the_same_bytes_and_reads_as_the_local_one(tmp_path, root, format_name):
    run(tmp_path, tmp_path / "local", bad=[3], format=format_name)
    summary = run(tmp_path, str(root / "store"), bad=[3], format=format_name)
    assert (summary.stored, summary.status, str(summary.store)) == (22, 3, f"{root}/store")
    assert remote_bytes(root / "store") == shard_bytes(tmp_path / "local")
    for name in (INDEX_FILE, "inputs/000000.jsonl"):
        assert (root / "store" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    local, remote = Store.open(tmp_path / "local"), Store.open(f"{root}/store/")
    assert len(remote) == 22 and remote.fingerprint() == local.fingerprint()
    keys = list(local.keys())
    assert [remote.find(key) for key in keys] == list(range(22)) and remote.find("dog.jpg") is None
    for row in (0, 3, 21):
        assert np.array_equal(remote.regions(row).features, local.regions(row).features)
    mine, theirs = remote.gather("features", [21, 0, 7, 7]), local.gather("features", [21, 0, 7, 7])
    assert np.array_equal(mine[0], theirs[0]) and np.array_equal(mine[1], theirs[1])
    assert problems(root / "store") == {} and problems(root / "store", quick=True) == {}
    assert run(tmp_path, root / "store", bad=[3], format=format_name).extracted == 0
    assert not list(tmp_path.glob("heed-unfinished*/*"))


def stopped(monkeypatch, stop):
    """Let the third shard of a job be stopped, by ``stop``, when its rows are there and its record is not yet."""
    calls, original = [], ShardRecord.write

    def write(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            stop()
        original(self, *arguments)

    monkeypatch.setattr(ShardRecord, "write", write)


@both
def test_a_writer_killed_between_a_shard_and_its_record_is_gone_on_with_to_the_same_bytes(tmp_path, root, monkeypatch):
    run(tmp_path, tmp_path / "whole", bad=[3])
    store = root / "store"
    if root.scheme == "s3":  # a process of its own, killed for good; memory would die with it
        child = os.fork()
        if not child:
            stopped(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
            run(tmp_path, store, bad=[3])
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    else:
        def stop():
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stopped(patch, stop)
            run(tmp_path, store, bad=[3])
    assert set(remote_bytes(store)) == {"000000.arrow", "000000.json", "000001.arrow", "000001.json", "000002.arrow"}
    with pytest.raises(HeedError, match="2 of 5 shards are committed"):
        Store.open(store)
    assert len(Store.open(store, partial=True)) == 9
    assert run(tmp_path, store, bad=[3]).extracted == 13
    assert remote_bytes(store) == shard_bytes(tmp_path / "whole") and problems(store) == {}
    assert not list(tmp_path.glob("heed-unfinished*/*"))


def test_retry_failed_keeps_the_rows_that_are_there(tmp_path, root):
    run(tmp_path, tmp_path / "whole")
    assert run(tmp_path, root / "store", bad=[0, 7]).status == 3
    again = run(tmp_path, root / "store", retry_failed=True)
    assert (again.status, again.stored, again.extracted) == (0, 23, 10)
    assert remote_bytes(root / "store") == shard_bytes(tmp_path / "whole")


def test_a_store_of_another_job_and_a_folder_with_other_files_are_not_written_to(tmp_path, root):
    run(tmp_path, root / "store")
    with pytest.raises(HeedError, match="another job"):
        run(tmp_path, root / "store", format="webdataset")
    (root / "papers/thesis.tex").write_bytes(b"precious")
    for folder in (root / "papers", root):
        with pytest.raises(HeedError, match="holds other files"):
            run(tmp_path, folder)


@both
def test_of_two_jobs_that_begin_at_one_moment_the_later_is_refused(tmp_path, root, monkeypatch):
    run(tmp_path, root / "store")
    looked = []

    def is_file(self):  # the other job's store.json comes after the look
        looked.append(self)
        return original(self) if len(looked) > 2 else False

    original = Remote.is_file
    monkeypatch.setattr(Remote, "is_file", is_file)
    monkeypatch.setattr(Remote, "names", lambda self: [])
    before = (root / "store" / "store.json").read_bytes()
    with pytest.raises(HeedError, match="another job"):
        run(tmp_path, root / "store", format="webdataset")
    assert (root / "store" / "store.json").read_bytes() == before


def test_verify_names_each_damage_and_repair_mends_just_those(tmp_path, root, capsys):
    run(tmp_path, tmp_path / "toy")
    export("butd-tsv", Store.open(tmp_path / "toy"), tmp_path / "f.tsv")
    url = f"{root}/store"
    assert heed.main(["import", "butd-tsv", str(tmp_path / "f.tsv"), url, "--shard-rows", "5"]) == 0
    store, before = root / "store", remote_bytes(root / "store")
    assert heed.main(["store", "verify", url]) == 0 and "sound" in capsys.readouterr().out
    damage(store / "shards/000001.arrow")
    (store / "shards/000002.json").unlink()
    (store / "shards/000003.arrow").unlink()
    damage(store / "shards/000004.json")
    (store / "shards/notes.txt").write_bytes(b"mine")
    found = problems(store)
    assert list(found) == [f"shard 00000{number}" for number in (1, 2, 3, 4)]
    assert "SHA-256" in found["shard 000001"] and "not committed" in found["shard 000002"]
    assert "missing" in found["shard 000003"] and "damaged" in found["shard 000004"]
    assert list(problems(store, quick=True)) == list(found)[1:] and strays(store) == ["notes.txt"]
    assert heed.main(["store", "repair", url]) == 0
    (store / "shards/notes.txt").unlink()
    assert remote_bytes(store) == before and problems(store) == {}
    (store / INDEX_FILE).unlink()
    assert list(problems(store)) == ["index"] and Store.open(store).find("a.b/0022.bin") == 22
    assert heed.main(["store", "repair", url]) == 0 and problems(store) == {}


def test_the_commands_take_urls_for_sources_and_stores(tmp_path, root, capsys):
    run(tmp_path, root / "store")
    out = f"{root}/out"
    assert heed.main(["store", "convert", f"{root}/store", out, "--format", "webdataset", "--shard-rows", "7"]) == 0
    assert list(Store.open(out).keys()) == list(Store.open(root / "store").keys())
    assert Identity.read(out).source["uri"] == f"{root}/store"
    before = remote_bytes(root / "out")
    damage(root / "out/shards/000001.tar")
    assert heed.main(["store", "repair", out]) == 0 and remote_bytes(root / "out") == before
    capsys.readouterr()
    assert heed.main(["store", "info", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["store"], told["rows"], told["shards"]) == (out, 23, "4 of 4 committed")
    assert heed.main(["store", "peek", out, "a.b/0003.bin"]) == 0
    assert heed.main(["import", "butd-tsv", f"{root}/f.tsv", str(tmp_path / "x")]) == 2
    assert f"heed import works with files on this machine, and {root}/f.tsv is not one" in capsys.readouterr().err
    assert heed.main(["store", "export", "butd-tsv", f"{root}/store", f"{root}/f.tsv"]) == 2
    assert "heed store export works with files on this machine" in capsys.readouterr().err
    assert heed.main(["store", "export", "butd-tsv", f"{root}/store", str(tmp_path / "f.tsv")]) == 0
    assert heed.main(["store", "info", f"{root}/nothing"]) == 2
    assert f"{root}/nothing is not a store" in capsys.readouterr().err


def test_a_shard_replaced_since_the_store_was_opened_is_refused_and_never_read_wrongly(tmp_path, root):
    run(tmp_path, root / "store")
    store = Store.open(root / "store")
    other = (root / "store/shards/000002.arrow").read_bytes()
    (root / "store/shards/000001.arrow").write_bytes(other)
    assert store.row(0)["key"] == "a.b/0000.bin"
    with pytest.raises(HeedError, match=r"000001\.arrow does not match its SHA-256.*heed store repair"):
        store.row(5)


def test_a_cache_smaller_than_the_store_streams_all_of_it_within_its_bound(tmp_path, root):
    run(tmp_path, tmp_path / "local", count=60)
    run(tmp_path, root / "store", count=60)
    local = Store.open(tmp_path / "local")
    largest = max(record.bytes for record in local.records)
    cache = ShardCache(tmp_path / "small", 3 * largest)
    store = Store.open(root / "store", cache=cache)
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(12):
        rows = rng.permutation(60)[:8]
        store.prefetch(rows)
        mine, theirs = store.gather("features", rows), local.gather("features", rows)
        assert np.array_equal(mine[0], theirs[0])
        kept.append((int(rows[0]), store.row(int(rows[0]))))
        assert sum(path.stat().st_size for path in cache.folder.glob("??/*")) <= cache.limit
    for row, content in kept:  # views of shards that have left the cache long ago
        assert np.array_equal(content["features"], local.row(row)["features"])
    assert len(store._shards) <= 4


def test_prefetched_shards_are_not_waited_for(tmp_path, root):
    run(tmp_path, root / "store")
    store = Store.open(root / "store")
    store.prefetch(np.arange(10, 20))
    ends = time.monotonic() + 20
    while not all(store.cache.holds(store._wanted(position)) for position in (2, 3)):
        assert time.monotonic() < ends
        time.sleep(0.005)
    assert not store.cache.holds(store._wanted(0))
    (root / "store/shards/000002.arrow").unlink()
    assert store.row(12)["key"] == "a.b/0012.bin"


def test_check_looks_again_at_what_has_lain_in_the_cache(tmp_path, root):
    run(tmp_path, root / "store")
    Store.open(root / "store").row(0)
    cached, = (tmp_path / "cache").glob("??/*")
    data = bytearray(cached.read_bytes())
    data[len(data) // 2] ^= 1
    cached.write_bytes(data)
    store = Store.open(root / "store", check=True)
    assert store.row(0)["key"] == "a.b/0000.bin" and cached.read_bytes() != data


def test_a_store_travels_to_another_process(tmp_path, root):
    run(tmp_path, root / "store")
    store = Store.open(root / "store")
    features = store.row(7)["features"]
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.row(7)["features"], features) and len(pickle.dumps(store)) < 20_000
    child = os.fork()
    if not child:
        os._exit(store.row(13)["key"] != "a.b/0013.bin")
    assert os.waitpid(child, 0)[1] == 0


def test_opening_asks_for_each_record_once_and_for_no_shard(tmp_path, root, monkeypatch):
    run(tmp_path, root / "store", count=60)
    asked = []
    original = Remote._ask

    def ask(self, call):
        asked.append(self.name)
        return original(self, call)

    monkeypatch.setattr(Remote, "_ask", ask)
    store = Store.open(root / "store")
    assert sorted(asked) == sorted(["store.json", *(f"{number:06d}.json" for number in range(12))])
    asked.clear()
    assert store.find("a.b/0059.bin") == 59
    assert asked == [INDEX_FILE, "000011.arrow"]
    asked.clear()
    assert store.row(58)["key"] == "a.b/0058.bin" and asked == []


def test_a_job_reads_nothing_of_what_it_has_written_to_build_its_index(tmp_path, root, monkeypatch):
    read = []
    original = Remote._ask

    def ask(self, call):
        if self.name.endswith(".arrow") and self.name != INDEX_FILE:
            read.append(self.name)
        return original(self, call)

    monkeypatch.setattr(Remote, "_ask", ask)
    run(tmp_path, root / "store", bad=[2, 22])
    assert len(read) == 5  # the five uploads
    assert problems(root / "store") == {}


def test_a_conversion_of_a_remote_store_goes_on_where_it_stopped(tmp_path, root):
    run(tmp_path, root / "store", bad=[3])
    source, spec = open_convert(root / "store", "float32")
    summary = run_job(spec, source, root / "wide", shard_rows=7, inline=True)
    assert (summary.stored, len(summary.failures)) == (22, 1)
    assert Store.open(root / "wide").row(3)["features"].dtype == np.float32


@needs_aiohttp
def test_a_store_is_streamed_from_a_web_server_that_fails_now_and_then(tmp_path):
    run(tmp_path, tmp_path / "web/store", count=60)
    local = Store.open(tmp_path / "web/store")
    with flaky_server(tmp_path / "web") as web:
        rng = np.random.default_rng(0)
        for record in local.records:
            for name in (f"{record.shard:06d}.json", f"{record.shard:06d}.arrow"):
                web.failures[f"/store/shards/{name}"] = list(rng.choice(["busy", "reset", "short"], rng.integers(3)))
        web.failures["/store/shards/000004.arrow"] = ["other"]
        web.failures["/store/index.arrow"] = ["broken", "short"]
        store = Store.open(f"{web.url}/store")
        keys = list(local.keys())
        assert [store.find(key) for key in keys] == list(range(60))
        assert np.array_equal(store.gather("features", np.arange(60))[0], local.gather("features", np.arange(60))[0])
        assert problems(f"{web.url}/store") == {} and strays(f"{web.url}/store") == []
        with pytest.raises(HeedError, match="http:// is only read"):
            run(tmp_path, f"{web.url}/other")
        web.failures["/store/store.json"] = ["forbidden"]
        with pytest.raises(HeedError, match="access is denied"):
            Store.open(f"{web.url}/store")


@pytest.mark.parametrize("how", [["short"], ["broken", "busy", "reset"]])
def test_s3_answers_that_fail_for_a_passing_reason_are_asked_for_again(tmp_path, bucket, monkeypatch, how):
    """A plain web server is S3 enough for GET requests; one deadline holds, whatever the libraries would do."""
    import s3fs

    (tmp_path / "flaky").mkdir()
    (tmp_path / "flaky/x").write_bytes(b"content")
    with flaky_server(tmp_path) as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        s3fs.S3FileSystem.clear_instance_cache()
        monkeypatch.setattr(filesystems, "_filesystems", {})
        file = Remote("s3://flaky/x")
        web.failures["/flaky/x"] = list(how)
        assert file.read_bytes() == b"content" and web.gets["/flaky/x"] == len(how) + 1
        web.failures["/flaky/x"] = ["forbidden"]
        with pytest.raises(HeedError, match="s3://flaky/x: access is denied"):
            file.read_bytes()
        assert web.gets["/flaky/x"] == len(how) + 2
        with pytest.raises(FileNotFoundError):
            Remote("s3://flaky/y").read_bytes()
    s3fs.S3FileSystem.clear_instance_cache()
