import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks import faults, struck_job
from pipeline.identity import ShardRecord
from pipeline.store import Store, file_digest

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "whole"
    assert struck_job.job(path) == struck_job.ENDED
    return path


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def compared(store, whole):
    return struck_job.differences(store, struck_job.contents(whole), list(Store.open(whole).keys()))


def test_an_untouched_copy_is_no_different(copy, whole):
    assert compared(copy, whole) == [] and struck_job.committed_wrongly(copy, struck_job.contents(whole)) == []


def test_a_lost_shard_a_changed_byte_and_a_left_file_are_each_told(copy, whole):
    (copy / "shards/000003.json").unlink()
    (copy / "shards/000003.arrow").unlink()
    data = bytearray((copy / "shards/000005.arrow").read_bytes())
    data[-100] ^= 1
    (copy / "shards/000005.arrow").write_bytes(data)
    (copy / ".index.arrow.7-00.tmp").write_bytes(b"x")
    told = compared(copy, whole)
    assert {"shards/000003.json is missing", "shards/000003.arrow is missing", ".index.arrow.7-00.tmp is left over",
            "shards/000005.arrow has other bytes"} <= set(told)
    assert struck_job.committed_wrongly(copy, struck_job.contents(whole)) == [
        "shards/000005.arrow is committed and is not what it should be"]


def test_a_key_that_is_there_twice_is_told_though_every_record_agrees(copy, whole):
    (copy / "shards/000001.arrow").write_bytes((copy / "shards/000002.arrow").read_bytes())
    path = copy / "shards/000001.arrow"
    ShardRecord(1, 4, path.stat().st_size, file_digest(path)).write(copy, copy)
    told = compared(copy, whole)
    assert "folder/0008.a.jpg is there 2 times" in told and "folder/0004.a.jpg is lost" in told


def test_only_a_process_s_own_descendants_are_found():
    inner = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print('there', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = struck_job.descendants(process.pid)
        assert [title.split() for title in found.values()] == [["sleep", "60"]]
        assert {process.pid, *found} <= set(struck_job.descendants(os.getpid()))
        struck_job.kill([process.pid, *found, 4_000_000])  # one that is not there is passed over


@pytest.mark.slow
def test_jobs_struck_without_ray_are_completed_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "SECONDS", 0.01)
    result = faults.run(tmp_path, 2, 3, ["driver", "permission"], inline=True)
    assert result["by_kind"] == {"driver": 1, "permission": 1} and result["problems"] == []
    assert result["stores_completed_and_compared"] >= 2 and any("Permission denied" in w for w in result["sentences"])


@pytest.mark.slow
@pytest.mark.ray
def test_a_job_on_ray_ends_well_by_itself_though_an_actor_is_killed(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    result = faults.run(tmp_path, 1, 0, ["actor"])
    assert result["by_kind"] == {"actor": 1} and result["problems"] == []
    assert result["jobs"] == result["stores_completed_and_compared"] == 1


def test_a_job_that_hangs_is_ended_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(struck_job, "PATIENCE", 0.3)
    with pytest.raises(AssertionError, match="hung"):
        struck_job.start(tmp_path, tmp_path / "store", 5.0, 1, True).wait()


def test_the_published_campaign_struck_two_hundred_times_and_lost_nothing():
    if not faults.RESULT.exists():
        pytest.skip("the campaign has not been run: python -m benchmarks.faults")
    result = json.loads(faults.RESULT.read_text())
    assert result["faults"] >= 200 and result["problems"] == []
    assert {"driver", "machine", "actor", "disk", "permission"} == set(result["ray"]["by_kind"])
    assert {"driver", "machine", "disk", "permission"} == set(result["inline"]["by_kind"])
