"""The job on a real local Ray, killed in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from features.errors import HeedError
from pipeline.job import run_job
from pipeline.sources import Item, Source
from pipeline.store import Store
from tests.pipeline.toy import Toy, ToyReader, shard_bytes, toy_source

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]


def driver(tmp_path, seconds, actors):
    command = [sys.executable, "-m", "tests.pipeline.ray_driver", str(tmp_path / "in"), str(tmp_path / "store"),
               str(seconds), str(actors)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
                            start_new_session=True)


def test_killed_in_the_middle_and_run_again_gives_an_uninterrupted_runs_bytes(tmp_path):
    source = toy_source(tmp_path / "in", 60, bad=[11])
    run_job(Toy(), source, tmp_path / "whole", shard_rows=6, inline=True)
    first = driver(tmp_path, 0.2, 2)
    while not list((tmp_path / "store" / "shards").glob("*.json")):  # some shards committed, others in flight
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with pytest.raises(HeedError, match="not finished"):
        Store.open(tmp_path / "store")
    done = len(list((tmp_path / "store" / "shards").glob("*.json")))
    assert 0 < done < 10
    second = driver(tmp_path, 0.0, 4)  # at once, while the killed run's workers may still be there; and other actors
    output, _ = second.communicate()
    assert second.returncode == 0 and b"59 of 60 images stored in 10 shards" in output
    assert shard_bytes(tmp_path / "store") == shard_bytes(tmp_path / "whole")


class _Dying(ToyReader):
    def read(self, items):
        for item in items:
            if item.uri == "die":
                os._exit(9)
        yield from super().read(items)


class _DyingSpec(Toy):
    def open(self):
        return _Dying(self)


def test_an_input_that_kills_its_worker_costs_its_shard_and_no_other(tmp_path):
    source = toy_source(tmp_path / "in", 12)
    items = [*source.items[:7], Item(source.items[7].key, "die", 7), *source.items[8:]]
    summary = run_job(_DyingSpec(), Source(source.uri, items, 0), tmp_path / "store", shard_rows=4, actors=2)
    assert summary.status == 1 and len(summary.lost) == 1 and summary.lost[0].startswith("000001:")
    assert summary.stored == 8 and "Run the same command again" in summary.text()
