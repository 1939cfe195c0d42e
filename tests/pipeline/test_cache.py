import fcntl
import hashlib
import importlib.util
import os
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from features.errors import HeedError
from pipeline import cache as module
from pipeline import retries
from pipeline.cache import LIMIT, ShardCache, Wanted, copied
from pipeline.places import Remote
from pipeline.prefetch import Prefetcher
from tests.pipeline.flaky import flaky_server

SIZE = 1000

needs_aiohttp = pytest.mark.skipif(not importlib.util.find_spec("aiohttp"), reason="aiohttp is not installed")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "FIRST", 0.005)


@pytest.fixture
def shards(request):
    """Eight shards of 1000 bytes in memory."""
    folder = Remote(f"memory://{request.node.name}")
    return [made(folder / f"shards/{number}.arrow", number) for number in range(8)]


def made(remote, number):
    data = content(number)
    remote.write_bytes(data)
    return Wanted(remote, SIZE, hashlib.sha256(data).hexdigest())


def content(number):
    return np.random.default_rng(number).bytes(SIZE)


def served(web, number):
    (web.folder / str(number)).write_bytes(content(number))
    return Wanted(Remote(f"{web.url}/{number}"), SIZE, hashlib.sha256(content(number)).hexdigest())


def held(cache):
    return {path.name for path in cache.folder.glob("??/*")}


def used(cache):
    total = 0
    for path in cache.folder.glob("??/*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def read(cache, wanted, **options):
    with cache.file(wanted, **options) as path:
        return path.read_bytes()


def test_a_shard_is_fetched_once_and_then_read_here(tmp_path, shards):
    cache = ShardCache(tmp_path, 5000)
    assert not cache.holds(shards[0]) and read(cache, shards[0]) == content(0) and cache.holds(shards[0])
    shards[0].remote.unlink()
    assert read(cache, shards[0]) == content(0) and held(cache) == {shards[0].sha256}


def test_the_least_recently_used_go_when_room_is_needed_and_no_more_than_needed(tmp_path, shards):
    cache = ShardCache(tmp_path, 3 * SIZE)
    for number in (0, 1, 2, 0, 3):
        assert read(cache, shards[number]) == content(number)
        time.sleep(0.002)  # the clock of file times may tick every few milliseconds
    assert held(cache) == {shards[number].sha256 for number in (0, 2, 3)}


def test_a_file_that_goes_stays_readable_where_it_is_mapped(tmp_path, shards):
    cache = ShardCache(tmp_path, SIZE)
    with cache.file(shards[0]) as path:
        mapped = np.memmap(path, np.uint8, "r")
    read(cache, shards[1])
    assert held(cache) == {shards[1].sha256} and mapped.tobytes() == content(0)


def test_a_file_in_use_is_not_removed_and_room_is_waited_for(tmp_path, shards, monkeypatch):
    cache = ShardCache(tmp_path, SIZE)
    monkeypatch.setattr(module, "ROOM_SECONDS", 0.1)
    with cache.file(shards[0]) as path:
        with pytest.raises(HeedError, match="finds no room"):
            read(cache, shards[1])
        assert path.read_bytes() == content(0) and held(cache) == {shards[0].sha256}
    monkeypatch.setattr(module, "ROOM_SECONDS", 60.0)
    inside, leave = threading.Event(), threading.Event()

    def use():
        with cache.file(shards[0]):
            inside.set()
            leave.wait(5)

    threading.Thread(target=use).start()
    inside.wait(5)
    threading.Timer(0.1, leave.set).start()
    assert read(cache, shards[1]) == content(1) and held(cache) == {shards[1].sha256}


def test_a_shard_larger_than_the_cache_is_told(tmp_path, shards):
    with pytest.raises(HeedError, match=r"has 1000 bytes, more than the 999 .*HEED_CACHE_BYTES"):
        read(ShardCache(tmp_path, SIZE - 1), shards[0])


def test_two_stores_with_one_shard_keep_it_once(tmp_path, shards):
    cache = ShardCache(tmp_path, 5000)
    read(cache, shards[0])
    elsewhere = Wanted(Remote("memory://nowhere/else"), SIZE, shards[0].sha256)
    assert read(cache, elsewhere) == content(0)


def test_a_shard_that_is_damaged_at_its_origin_is_refused_and_not_kept(tmp_path, shards):
    cache = ShardCache(tmp_path, 5000)
    shards[0].remote.write_bytes(content(1))
    with pytest.raises(HeedError, match="does not match its SHA-256"):
        read(cache, shards[0])
    shards[0].remote.write_bytes(content(0)[:-1])
    with pytest.raises(HeedError, match="does not match its SHA-256"):
        read(cache, shards[0])
    shards[0].remote.unlink()
    with pytest.raises(HeedError, match=r"0\.arrow is missing. heed store repair memory://"):
        read(cache, shards[0])
    assert held(cache) == set()
    shards[0].remote.write_bytes(content(0))
    assert read(cache, shards[0]) == content(0)


@needs_aiohttp
@pytest.mark.parametrize("failures", [["other"], ["other", "busy", "reset"], ["short"]])
def test_a_shard_that_is_damaged_on_its_way_is_fetched_again(tmp_path, failures):
    (tmp_path / "web").mkdir()
    with flaky_server(tmp_path / "web") as web:
        wanted = served(web, 0)
        web.failures["/0"] = list(failures)
        assert read(ShardCache(tmp_path / "cache", 5000), wanted) == content(0)
        assert web.gets["/0"] >= len(failures) + 1


@needs_aiohttp
@pytest.mark.parametrize("ranges", [True, False])
def test_a_large_shard_comes_in_pieces_and_whole_where_the_server_knows_none(tmp_path, monkeypatch, ranges):
    monkeypatch.setattr(module, "PIECE", 300)
    (tmp_path / "web").mkdir()
    with flaky_server(tmp_path / "web", ranges) as web:
        wanted = served(web, 0)
        assert read(ShardCache(tmp_path / "cache", 5000), wanted) == content(0)
        assert web.gets["/0"] == (4 if ranges else 1)


def test_damage_in_the_cache_is_found_on_demand_and_a_changed_size_always(tmp_path, shards):
    cache = ShardCache(tmp_path, 5000)
    with cache.file(shards[0]) as path:
        pass
    path.write_bytes(content(1))
    assert read(cache, shards[0]) == content(1)  # as documented: unless asked, what has been checked once is trusted
    assert read(cache, shards[0], check=True) == content(0)
    path.write_bytes(b"short")
    assert read(cache, shards[0]) == content(0)


def forked(work):
    """Run ``work`` in a forked process; its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:
        print(repr(error))
        os._exit(1)
    os._exit(0)


@needs_aiohttp
def test_four_processes_share_a_small_cache_that_keeps_its_bound_and_every_shard_is_right(tmp_path):
    (tmp_path / "web").mkdir()
    with flaky_server(tmp_path / "web") as web:
        shards = [served(web, number) for number in range(6)]
        cache = ShardCache(tmp_path / "cache", 3 * SIZE)

        def work(seed):
            for number in np.random.default_rng(seed).integers(0, 6, 25):
                assert read(cache, shards[number]) == content(number)
                with (cache.folder / ".lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # nobody makes room or takes it meanwhile
                    assert used(cache) <= 3 * SIZE

        children = [forked(lambda seed=seed: work(seed)) for seed in range(4)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def test_a_part_that_is_renamed_while_room_is_made_still_counts(tmp_path, monkeypatch):
    part = tmp_path / "ab" / "abc.part"
    part.parent.mkdir()
    part.write_bytes(content(0))
    lock = fcntl.flock

    def late(file, operation):
        with suppress(FileNotFoundError):
            part.rename(part.with_suffix(""))
        lock(file, operation)

    monkeypatch.setattr(module.fcntl, "flock", late)
    assert not module._evicted(tmp_path, SIZE // 2)
    assert part.with_suffix("").read_bytes() == content(0)


@needs_aiohttp
def test_four_processes_that_want_one_shard_fetch_it_once(tmp_path):
    (tmp_path / "web").mkdir()
    with flaky_server(tmp_path / "web") as web:
        wanted, cache = served(web, 0), ShardCache(tmp_path / "cache", 5000)
        go = tmp_path / "go"

        def work():
            while not go.exists():
                time.sleep(0.001)
            assert read(cache, wanted) == content(0)

        children = [forked(work) for _ in range(4)]
        go.touch()
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
        assert web.gets["/0"] == 1


def test_a_killed_download_is_never_seen_and_taken_over(tmp_path, shards):
    cache = ShardCache(tmp_path, 2 * SIZE)

    class Killed(Remote):
        def read_range(self, *_):
            os.kill(os.getpid(), signal.SIGKILL)

        read_first = read_range

    child = forked(lambda: read(cache, Wanted(Killed(shards[0].remote.url), SIZE, shards[0].sha256)))
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert held(cache) == {shards[0].sha256 + ".part"} and not cache.holds(shards[0])
    assert read(cache, shards[0]) == content(0) and held(cache) == {shards[0].sha256}


def test_what_killed_downloads_have_left_makes_room_first(tmp_path, shards):
    cache = ShardCache(tmp_path, 3 * SIZE)
    read(cache, shards[0])
    left = cache.folder / "ab" / "abcd.part"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"\0" * SIZE)
    living = cache.folder / "cd" / "cdef.part"
    living.parent.mkdir(exist_ok=True)
    living.write_bytes(b"\0" * SIZE)
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        read(cache, shards[1])
        assert held(cache) == {shards[0].sha256, shards[1].sha256, "cdef.part"}
        read(cache, shards[2])
        assert held(cache) == {shards[1].sha256, shards[2].sha256, "cdef.part"}


def test_a_full_disk_is_told_with_what_to_do(tmp_path, shards, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "pwrite", full)
    with pytest.raises(HeedError, match=r"cannot be written: No space left on device. HEED_CACHE names another"):
        read(ShardCache(tmp_path, 5000), shards[0])
    assert held(ShardCache(tmp_path, 5000)) == set()


@pytest.mark.parametrize(("text", "limit"), [
    ("", LIMIT), ("1000", 1000), ("1e9", 10 ** 9), ("50G", 50 * 10 ** 9), ("1.5 TB", 15 * 10 ** 11),
    ("200mb", 2 * 10 ** 8),
])
def test_the_environment_says_where_and_how_large(monkeypatch, tmp_path, text, limit):
    monkeypatch.setenv("HEED_CACHE_BYTES", text)
    monkeypatch.setenv("HEED_CACHE", str(tmp_path / "here"))
    assert ShardCache.default() == ShardCache(tmp_path / "here", limit)
    monkeypatch.delenv("HEED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ShardCache.default().folder == tmp_path / "heed"


@pytest.mark.parametrize("text", ["much", "-5", "1..2", "5X"])
def test_a_size_that_is_none_is_told(monkeypatch, text):
    monkeypatch.setenv("HEED_CACHE_BYTES", text)
    with pytest.raises(HeedError, match="say a number of bytes, for example 50G"):
        ShardCache.default()


def test_a_copy_goes_past_the_cache_and_stays_readable(tmp_path, shards):
    with copied(shards[0].remote, SIZE, shards[0].sha256) as path:
        mapped = np.memmap(path, np.uint8, "r")
    assert not path.exists() and mapped.tobytes() == content(0)
    here = tmp_path / "x"
    here.write_bytes(b"x")
    with copied(here, 1, "") as path:
        assert path == here


def wait_until(condition):
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_prefetching_goes_in_order_to_half_of_the_cache_and_forgets_former_wishes(tmp_path, shards, monkeypatch):
    monkeypatch.setattr("pipeline.prefetch.AT_ONCE", 1)
    order, hold = [], threading.Event()

    class Watched(ShardCache):
        def file(self, wanted, check=False):
            order.append(wanted)
            assert hold.wait(10)
            return super().file(wanted, check)

    cache = Watched(tmp_path, 6 * SIZE)
    prefetcher = Prefetcher(cache)
    prefetcher.ask(shards[:6])
    wait_until(lambda: order)
    prefetcher.ask(shards[3:8])
    hold.set()
    wait_until(lambda: cache.holds(shards[5]) and prefetcher._threads == 0)
    assert order == [shards[0], *shards[3:6]]
    assert held(cache) == {shards[number].sha256 for number in (0, 3, 4, 5)}


def test_a_shard_that_has_just_been_seen_is_not_looked_for_again(tmp_path, shards, monkeypatch):
    looked = []

    class Watched(ShardCache):
        def file(self, wanted, check=False):
            looked.append(wanted)
            return super().file(wanted, check)

    prefetcher = Prefetcher(Watched(tmp_path, 8 * SIZE))
    for _ in range(3):
        prefetcher.ask(shards[:2])
        wait_until(lambda: prefetcher._threads == 0)
    assert looked == shards[:2]
    monkeypatch.setattr("pipeline.prefetch.FRESH", 0.0)
    prefetcher.ask(shards[:2])
    wait_until(lambda: len(looked) == 4)


def test_prefetching_passes_over_what_cannot_be_had_and_works_after_a_fork(tmp_path, shards):
    cache = ShardCache(tmp_path, 8 * SIZE)
    prefetcher = Prefetcher(cache)
    shards[0].remote.unlink()
    prefetcher.ask(shards[:2])
    wait_until(lambda: cache.holds(shards[1]))

    def work():
        prefetcher.ask(shards[2:4])
        wait_until(lambda: cache.holds(shards[2]) and cache.holds(shards[3]))

    assert os.waitpid(forked(work), 0)[1] == 0
