"""A driver to be killed: python -m tests.pipeline.ray_driver INPUTS STORE SECONDS ACTORS."""

import sys
from pathlib import Path

from pipeline.job import run_job
from tests.pipeline.toy import Toy, toy_source

if __name__ == "__main__":
    inputs, store, seconds, actors = sys.argv[1:]
    summary = run_job(Toy(float(seconds)), toy_source(Path(inputs), 60, bad=[11]), Path(store), shard_rows=6,
                      actors=int(actors))
    print(summary.text())
