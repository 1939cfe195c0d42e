"""Shards as tasks on Ray: the one place that imports it.

heed cuts the shards itself and uses Ray to schedule idempotent tasks: what a shard holds then never depends on
completion order, block sizes or where a run was killed. Each actor loads its detector once. The driver keeps one shard
with each actor and no list of futures that grows. No array passes through Ray's object store.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.identity import ShardRecord
from pipeline.places import Place
from pipeline.progress import JobProgress
from pipeline.worker import ReaderSpec, ShardTask, ShardWorker

ATTEMPTS = 3
"""Times a shard is handed out before it is given up; each fails only if the actor's process dies or its disk fails."""
POLL_SECONDS = 1.0
STARTS = 3
"""Times a local Ray is started before that is given up."""
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Where Ray looks for a cluster's token, besides ~/.ray/auth_token."""


class _Actor(ShardWorker):
    """A worker in its own process; ``seen`` answers while ``run`` runs."""

    def __init__(self, spec: ReaderSpec, store: Place, format: str) -> None:
        super().__init__(spec.open(), store, format)

    def seen(self) -> int:
        """Inputs of the present shard looked at so far."""
        return self.done


def run_on_ray(
    spec: ReaderSpec, store: Place, format: str, tasks: Sequence[ShardTask], records: dict[int, ShardRecord],
    progress: JobProgress, actors: int, address: str,
) -> list[str]:
    """Run ``tasks``, putting a record into ``records`` as each shard commits; give the reasons of those given up.

    ``actors`` 0 takes one for each GPU the cluster has, or else one for each CPU; a spec whose ``uses_gpu`` is False
    takes no GPU. Raises `HeedError` where Ray is not installed or the cluster does not answer.
    """
    ray = start_ray(address)
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0)) if getattr(spec, "uses_gpu", True) else 0
        cpus = int(ray.cluster_resources().get("CPU", 1)) if address else (os.cpu_count() or 1)
        count = min(actors or gpus or cpus, len(tasks))
        # Two calls at a time: a shard, and a question how far it is. No CPU is reserved: on a small machine actors that
        # reserve whole cores starve each other, without an error.
        actor_class = ray.remote(num_cpus=0, num_gpus=1 if gpus else 0, max_concurrency=2)(_Actor)

        def start() -> Any:
            return actor_class.remote(spec, store, format)

        return _drive(ray, start, tasks, records, progress, count)
    finally:
        ray.shutdown()


def start_ray(address: str) -> Any:
    """Ray, joined at ``address`` or started on this machine; `HeedError` where it is not there or does not answer."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    token_file = Path.home() / ".ray" / "auth_token"
    if address and (token_file.exists() or any(name in os.environ for name in TOKEN_VARIABLES)):
        # `ray start` asks for a token where the user has one; a driver is told to send it, before Ray is imported.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise HeedError("Ray is not installed: pip install 'heed[ray]', or add --inline for one process.") from None
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        else:
            _start_here(ray)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        hint = " (RAY_AUTH_MODE=token or disabled says whether it asks for a token)" if address else ""
        raise HeedError(f"Ray {where} does not answer: {error}{hint}") from error
    return ray


def _start_here(ray: Any) -> None:
    for attempt in range(STARTS):
        try:
            # "local", or Ray would join any cluster it finds here, be it one that a killed run has left to die. The
            # object store carries only task arguments: the least Ray allows is plenty.
            ray.init(address="local", num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False,
                     logging_level="ERROR", object_store_memory=100 << 20)
            return
        except Exception as error:  # of this very type where a busy machine takes longer than Ray's half minute
            if type(error) is not Exception:
                raise
            ray.shutdown()
            if attempt == STARTS - 1:
                raise HeedError(f"Ray does not start on this machine: {error}") from error


def _drive(
    ray: Any, start: Callable[[], Any], tasks: Sequence[ShardTask], records: dict[int, ShardRecord],
    progress: JobProgress, count: int,
) -> list[str]:
    waiting = deque((task, 1) for task in tasks)
    running: dict[Any, tuple[ShardTask, int, Any]] = {}
    idle = [start() for _ in range(count)]
    finished, lost = 0, []
    while waiting or running:
        while waiting and idle:
            actor = idle.pop()
            task, attempt = waiting.popleft()
            running[actor.run.remote(task)] = (task, attempt, actor)
        ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
        for future in ready:
            task, attempt, actor = running.pop(future)
            try:
                records[task.number] = ray.get(future)
                idle.append(actor)
                finished += len(task.items)
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, HeedError):  # the detector cannot be loaded or the disk refuses: no use repeating
                    raise cause from error
                if attempt < ATTEMPTS:
                    waiting.append((task, attempt + 1))
                else:
                    lost.append(f"{task.number:06d}: {str(error).strip().splitlines()[-1]}")
                ray.kill(actor)
                idle.append(start())
        underway = [actor.seen.remote() for _, _, actor in running.values()]
        answered, _ = ray.wait(underway, num_returns=len(underway), timeout=0.2) if underway else ([], [])
        failed = sum(len(record.failed) for record in records.values())
        progress.update(finished + sum(_answer(ray, seen) for seen in answered), f"{failed} failed" if failed else "")
    return lost


def _answer(ray: Any, seen: Any) -> int:
    try:
        return ray.get(seen)
    except ray.exceptions.RayError:  # the actor died meanwhile; its shard's future will say so
        return 0
