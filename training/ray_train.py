"""Several workers through Ray Train: started, watched, and replaced when one dies.

Ray starts the workers and joins them into a torch process group; each then runs what a single process would
(`training.commands.train_as_worker`), reading its own share of every batch from the store. When a worker dies Ray
starts all of them again, and they go on from the run's last checkpoint; as the order of samples follows from the step,
none is lost and none is seen twice. The run folder must be one that all workers see.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.errors import HeedError

RESTARTS = 5
"""Times the workers are started again before the run is given up; the same command then goes on with it."""
_SETTINGS = {
    # Ray Train moves a worker into a folder of its own, where relative paths mean something else.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # It prints what a worker prints once more.
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # And gives workers a minute to start, which a small machine takes to import torch in several processes.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
}
_REFUSED, _LOG = "refused.txt", "log.txt"


def train_on_ray(task: str, config: Any) -> int:
    """Run `training.commands.train_as_worker` on ``config.loop.workers`` workers; its exit status.

    Raises `HeedError` where Ray is missing or does not answer, where the cluster has too few GPUs, and as the workers
    do.
    """
    from pipeline.ray_job import start_ray
    from training.run import to_json

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    ray = start_ray(config.loop.address)
    scratch = Path(config.out).absolute() / "ray"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        resources = ray.cluster_resources()
        gpu = _on_gpus(config, int(resources.get("GPU", 0)))
        order = {"task": task, "config": to_json(config), "scratch": str(scratch)}
        if not gpu:
            order["config"]["loop"]["device"] = "cpu"
        with _told(scratch / _LOG):
            _fit(order, config.loop.workers, gpu, resources.get("CPU", 1))
        if (scratch / _REFUSED).exists():
            raise HeedError((scratch / _REFUSED).read_text(encoding="utf-8"))
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _on_gpus(config: Any, gpus: int) -> bool:
    wanted = config.loop.device
    if wanted != "cpu" and gpus >= config.loop.workers:
        return True
    if wanted not in ("cpu", "auto"):
        raise HeedError(f"{config.loop.workers} workers need a GPU each and Ray has {gpus}; lower --workers, or take "
                        "--device cpu.")
    return False


def _fit(order: dict[str, Any], workers: int, gpu: bool, cpus: float) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    from training.workers import PATIENCE

    # Half of the cores at most: workers that reserve all of a small machine wait for ever for Ray's own actors.
    share = min(1.0, 0.5 * cpus / workers)
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, int(cpus / workers)))
    trainer = TorchTrainer(
        _worker, train_loop_config=order,
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker={
            "CPU": share, **({"GPU": 1} if gpu else {})}),
        run_config=RunConfig(
            name="train", storage_path=order["scratch"], failure_config=FailureConfig(max_failures=RESTARTS),
            worker_runtime_env={"env_vars": {"OMP_NUM_THREADS": threads}}, logging_config=LoggingConfig("ERROR")),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise HeedError(f"The workers failed {RESTARTS + 1} times, the last time so: {_last_line(error)} "
                        "The same command goes on from the last checkpoint.") from error


def _worker(order: dict[str, Any]) -> None:
    """One worker. What heed refuses would be refused again: it is written down, and workers started later return."""
    from training.commands import train_as_worker
    from training.run import from_json
    from training.tasks import task_config
    from training.workers import first

    scratch = Path(order["scratch"])
    if (scratch / _REFUSED).exists():
        return
    with (scratch / _LOG if first() else Path(os.devnull)).open("a", encoding="utf-8", buffering=1) as log, \
            contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            train_as_worker(order["task"], from_json(task_config(order["task"]), order["config"]))
        except HeedError as error:
            (scratch / _REFUSED).write_text(str(error), encoding="utf-8")
            raise


@contextlib.contextmanager
def _told(log: Path) -> Iterator[None]:
    """Print what the first worker writes into ``log``, as it does; Ray's own words of the workers are left out."""
    over = threading.Event()

    def follow() -> None:
        place = 0
        while True:
            last = over.wait(0.5)
            if log.exists():
                with log.open("rb") as file:
                    file.seek(place)
                    said = file.read()
                place += len(said)
                print(said.decode("utf-8", "replace"), end="", file=sys.stderr, flush=True)
            if last:
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _last_line(error: BaseException) -> str:
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return lines[-1] if lines else repr(error)
