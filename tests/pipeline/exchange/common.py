"""Feature arrays and stores for the tests of formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.exporter import export
from pipeline.importer import open_import
from pipeline.job import Summary, run_job
from pipeline.store import Store
from tests.pipeline.toy import Toy, toy_source

WIDTH, HEIGHT, DIM = 80, 60, 6


def boxes(n, seed=0):
    """(n, 4) float32 in an image of 80 x 60."""
    corner = np.random.default_rng(seed).uniform(0, 40, (n, 2))
    return np.concatenate([corner, corner + 9], axis=1).astype("<f4")


def features(n, seed=0, dim=DIM):
    """(n, dim) float32."""
    return np.random.default_rng(seed + 1000).uniform(0, 5, (n, dim)).astype("<f4")


def norm_bb(n, seed=0):
    """UNITER's (n, 6) float32 fractions."""
    box = boxes(n, seed) / np.array([WIDTH, HEIGHT] * 2, "<f4")
    return np.concatenate([box, box[:, 2:] - box[:, :2]], axis=1)


def imported(format_name, path, out, dtype="float32") -> tuple[Store, Summary]:
    """Import ``path`` into ``out``, two rows a shard."""
    source, spec = open_import(format_name, path, dtype)
    summary = run_job(spec, source, out, inline=True, shard_rows=2)
    return Store.open(out), summary


def toy_store(folder: Path, count=5) -> Store:
    """A store of ``count`` images with keys such as a.b/0001.bin, 2 to 5 regions each of 64 x 64 pixels, float16."""
    run_job(Toy(), toy_source(folder / "toy", count), folder / "toy_store", inline=True, shard_rows=2)
    return Store.open(folder / "toy_store")


def round_trip(format_name, folder: Path, name: str, store: Store) -> Store:
    """Export a store and import the file again."""
    export(format_name, store, folder / name)
    return imported(format_name, folder / name, folder / "again", "float16")[0]
