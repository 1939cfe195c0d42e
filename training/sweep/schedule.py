"""Trials, run: one after the other in this process, or packed on a machine or a cluster by Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from training.sweep.progress import SweepProgress
from training.sweep.trial import Outcome, TrialOrder, run_trial

ATTEMPTS = 2
"""Times a trial is begun whose process dies; it goes on from its last checkpoint."""
POLL_SECONDS = 1.0


def run_inline(orders: Sequence[TrialOrder], total: int) -> list[Outcome]:
    """Run the trials one after the other; ``total`` counts those done before, too."""
    progress = SweepProgress(total, total - len(orders), 1)
    outcomes = []
    for order in orders:
        outcomes.append(run_trial(order))
        progress.ended(order.name, outcomes[-1].seconds, outcomes[-1].reason)
    return outcomes


def run_on_ray(orders: Sequence[TrialOrder], total: int, gpus: float | None, address: str) -> list[Outcome]:
    """Run the trials as Ray tasks of ``cores`` cores each, as many at once as there is room for.

    ``gpus`` is a trial's share of a GPU; None takes a whole one where the cluster has any. Raises `HeedError` where Ray
    is not installed or does not answer.
    """
    from pipeline.ray_job import start_ray

    ray = start_ray(address)
    try:
        has = ray.cluster_resources()
        share = gpus if gpus is not None else float(has.get("GPU", 0) >= 1)
        cores = orders[0].cores
        cpus = int(has.get("CPU", 1)) if address else (os.cpu_count() or 1)
        lanes = min([max(1, cpus // cores)] + ([int(has.get("GPU", 0) / share)] if share else []))
        # Ray would set the number of threads by itself; but only a trial with the same number gives the same numbers.
        remote = ray.remote(num_cpus=min(cores, cpus), num_gpus=share, max_retries=0,
                            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(cores)}})(run_trial)
        progress = SweepProgress(total, total - len(orders), lanes)
        return list(_drive(ray, remote, orders, progress))
    finally:
        ray.shutdown()


def _drive(ray: Any, remote: Any, orders: Sequence[TrialOrder], progress: SweepProgress) -> Iterator[Outcome]:
    running = {remote.remote(order): (order, 1) for order in orders}
    while running:
        ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
        for future in ready:
            order, attempt = running.pop(future)
            try:
                outcome = ray.get(future)
            except ray.exceptions.RayError as error:
                if attempt < ATTEMPTS:
                    running[remote.remote(order)] = (order, attempt + 1)
                    continue
                said = str(error).strip().splitlines()
                reason = f"its process died {ATTEMPTS} times: {said[0] if said else type(error).__name__}"
                outcome = Outcome(order.name, 0.0, reason)
            progress.ended(order.name, outcome.seconds, outcome.reason)
            yield outcome
        progress.alive()
