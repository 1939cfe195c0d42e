"""Training on a real local Ray, one of whose workers is killed in the middle."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.utils.tensorboard  # noqa: F401 - before workers are forked

from tests.training.test_workers import matching, together
from tests.training.truth_store import truth_store

if not importlib.util.find_spec("ray"):
    pytest.skip("Ray is not installed", allow_module_level=True)
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
OPTIONS = ("--epochs", "6", "--checkpoint-every", "2")


def test_a_killed_worker_is_replaced_and_no_sample_is_lost_or_seen_twice(tmp_path):
    """The log of the run, and its predictions, are to the byte those of two workers that nobody killed."""
    data = truth_store(tmp_path, 30)
    assert together(2, matching, data, tmp_path / "whole", *OPTIONS) == [0, 0]
    code = ("import sys; from pathlib import Path; from tests.training.test_workers import matching; "
            "sys.exit(matching([Path(p) for p in sys.argv[1:3]], Path(sys.argv[3]), *sys.argv[4:]))")
    # Ray lets workers yield to everything else, which on a busy machine is to wait for ever.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    command = [sys.executable, "-c", code, *map(str, data), str(tmp_path / "cut"), *OPTIONS, "--workers", "2"]
    driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              start_new_session=True)
    try:
        while not (tmp_path / "cut" / "checkpoints" / "last.pt").exists():
            assert driver.poll() is None, driver.stderr.read().decode()
            time.sleep(0.02)
        victim = workers_of(driver.pid)[-1]
        os.kill(victim, signal.SIGKILL)
        assert not (tmp_path / "cut" / "evaluation").exists()  # it was in the middle
        said = driver.communicate()[1].decode()
    finally:
        driver.kill()
    assert driver.returncode == 0, said
    assert said.count("batches an epoch") == 2  # started twice
    for name in ("metrics.jsonl", "predictions/test.arrow"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert not (tmp_path / "cut" / "ray").exists()


def workers_of(driver):
    """The process ids of the Ray Train workers that descend from a process."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = []
    for process, name in names.items():
        ancestor = process
        while ancestor in parents and ancestor != driver:
            ancestor = parents[ancestor]
        if ancestor == driver and b"RayTrainWorker" in name:
            found.append(process)
    return sorted(found)
