import fcntl

import pytest

from features.errors import HeedError
from pipeline.index import Index
from pipeline.job import LOCK, run_job
from pipeline.store import Store
from pipeline.verify import verify
from pipeline.worker import ShardWorker
from tests.pipeline.toy import Toy, shard_bytes, toy_source


def run(tmp_path, count=23, bad=(), spec=None, name="store", **options):
    source = toy_source(tmp_path / "in", count, bad)
    return run_job(spec or Toy(), source, tmp_path / name, **{"shard_rows": 5, "inline": True, **options})


@pytest.mark.parametrize("format_name", ["arrow", "webdataset"])
@pytest.mark.parametrize("stop", ["before writing", "before the record", "between shards"])
def test_stopped_anywhere_and_run_again_gives_the_same_bytes(tmp_path, monkeypatch, stop, format_name):
    run(tmp_path, name="whole", bad=[3, 12], format=format_name)
    calls = {"n": 0}

    def failing(original):
        def call(*arguments, **keywords):
            calls["n"] += 1
            if calls["n"] == 3:
                raise KeyboardInterrupt
            return original(*arguments, **keywords)
        return call

    with monkeypatch.context() as patch:
        if stop == "before writing":
            module = "arrow" if format_name == "arrow" else "webdataset"
            target = __import__(f"pipeline.shards.{module}", fromlist=["write"])
            patch.setattr(target, "write", failing(target.write))
        elif stop == "before the record":
            from pipeline.identity import ShardRecord
            patch.setattr(ShardRecord, "write", failing(ShardRecord.write))
        else:
            patch.setattr(ShardWorker, "run", failing(ShardWorker.run))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, bad=[3, 12], format=format_name)
    with pytest.raises(HeedError, match="not finished"):
        Store.open(tmp_path / "store")
    summary = run(tmp_path, bad=[3, 12], format=format_name)
    assert summary.extracted == 13  # the two shards committed before are not done again
    assert shard_bytes(tmp_path / "store") == shard_bytes(tmp_path / "whole")
    assert not (tmp_path / "store" / "unfinished").exists()


def test_a_finished_job_run_again_does_nothing(tmp_path):
    run(tmp_path)
    before = shard_bytes(tmp_path / "store")
    assert run(tmp_path).extracted == 0 and shard_bytes(tmp_path / "store") == before


def test_failures_do_not_stop_the_job_and_are_told(tmp_path):
    summary = run(tmp_path, bad=[0, 7])
    assert (summary.stored, summary.inputs, summary.status) == (21, 23, 3)
    assert "a.b/0007.bin: is bad" in summary.text() and "--retry-failed" in summary.text()


def test_retry_failed_on_mended_files_gives_what_a_good_first_run_would_have(tmp_path):
    run(tmp_path, name="whole")
    assert run(tmp_path, bad=[0, 7]).status == 3
    again = run(tmp_path, retry_failed=True)  # the files are written anew, good and of another size
    assert (again.status, again.stored, again.extracted) == (0, 23, 10)
    assert shard_bytes(tmp_path / "store") == shard_bytes(tmp_path / "whole")


def test_without_retry_failed_failures_are_left_as_they_are(tmp_path):
    run(tmp_path, bad=[0])
    assert run(tmp_path, bad=[0]).extracted == 0


@pytest.mark.parametrize("change", [
    {"shard_rows": 6}, {"format": "webdataset"}, {"spec": Toy(version=2)},
])
def test_a_store_of_another_job_is_refused_with_what_differs(tmp_path, change):
    run(tmp_path)
    with pytest.raises(HeedError, match=r"another job.*in the store.*now"):
        run(tmp_path, **change)


def test_a_folder_with_other_files_is_not_written_to(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("precious")
    with pytest.raises(HeedError, match="holds other files"):
        run(tmp_path)


def test_what_killed_writers_of_the_small_files_left_is_no_other_file_and_is_removed(tmp_path):
    run(tmp_path, name="whole")
    (tmp_path / "store").mkdir()
    for name in (".store.json.77-0011aabb.tmp", ".index.arrow.77-0011aabb.tmp"):
        (tmp_path / "store" / name).write_text('{"heed_store": 1, "ki')
        run(tmp_path)
    assert {path.name for path in (tmp_path / "store").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()}


def test_a_disk_that_is_full_when_the_index_is_written_is_told_of_and_can_be_mended(tmp_path, monkeypatch):
    run(tmp_path, name="whole")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(HeedError, match=r"cannot be written: No space left"):
        patch.setattr(Index, "write", full)
        run(tmp_path)
    assert run(tmp_path).extracted == 0
    assert (tmp_path / "store/index.arrow").read_bytes() == (tmp_path / "whole/index.arrow").read_bytes()


def test_a_folder_that_may_not_be_read_when_work_is_planned_is_told_of(tmp_path, monkeypatch):
    run(tmp_path)

    def closed(_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(HeedError, match=r"cannot be written: Permission denied"):
        patch.setattr("pipeline.job.files_in", closed)
        run(tmp_path)
    assert run(tmp_path).extracted == 0


def test_two_writers_of_one_store_are_kept_apart(tmp_path):
    run(tmp_path)
    with (tmp_path / "store" / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HeedError, match="Another heed"):
            run(tmp_path)


def test_a_shard_cut_short_after_its_commit_is_done_again(tmp_path):
    run(tmp_path)
    before = shard_bytes(tmp_path / "store")
    path = tmp_path / "store" / "shards" / "000002.arrow"
    path.write_bytes(path.read_bytes()[:100])
    assert run(tmp_path).extracted == 5 and shard_bytes(tmp_path / "store") == before


def test_verify_finds_nothing_in_a_sound_store_and_names_each_damage(tmp_path):
    run(tmp_path, bad=[3])
    store = tmp_path / "store"
    assert all(not problems for _, problems in verify(store))
    path = store / "shards" / "000001.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (store / "shards" / "000002.json").unlink()
    (store / "shards" / "000003.arrow").unlink()
    found = {part: problems[0] for part, problems in verify(store) if problems}
    assert list(found) == ["shard 000001", "shard 000002", "shard 000003"]
    assert "SHA-256" in found["shard 000001"] and "not committed" in found["shard 000002"]
    assert "missing" in found["shard 000003"]
    quick = [part for part, problems in verify(store, quick=True) if problems]
    assert quick == ["shard 000002", "shard 000003"]
