"""MAC on the scenes questions of ten answers: accuracy on held-out images, and where its steps look.

    python -m benchmarks.vqa STORE SCENES RUN      trains RUN (or goes on with it) and writes results/vqa.json

STORE holds the regions of SCENES by the scenes detector (`heed extract regions --detector scenes`). The minutes are of
processor time, all invocations on one RUN together, kept in RUN/cpu_seconds.json.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECIPE = (
    "--ten-answers --model.dim 64 --model.word-dim 64 --model.classifier 64 --model.drop-stem 0 --model.drop-read 0 "
    "--model.drop-words 0 --model.drop-question 0 --model.drop-memory 0.05 --model.drop-output 0.1 --batch-size 64 "
    "--lr 2e-3 --warmup 100 --epochs 12 --schedule cosine --ema 0.99 --checkpoint-every 200 --device cpu"
)
"""The same as in docs/vqa.md and at the top of training/tasks/vqa.py."""


def main(store: Path, scenes: Path, run: Path) -> None:
    """Train, judge, write."""
    words = ["train", "vqa", "--store", str(store), "--questions", str(scenes), "--out", str(run), *RECIPE.split()]
    subprocess.run([sys.executable, "-m", "heed", *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    kept = run / "cpu_seconds.json"
    before = json.loads(kept.read_text()) if kept.exists() else 0.0
    seconds = before + spent.ru_utime + spent.ru_stime
    kept.write_text(json.dumps(seconds))
    found = json.loads((run / "evaluation" / "test.json").read_text())
    validations = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result = {
        "recipe": RECIPE, "cpu_minutes": round(seconds / 60, 1), "questions": found["questions"],
        "images": found["images"], "figures": found["figures"], "attention": found["attention"],
        "best_step": found["best_step"],
        "validation": [round(line["accuracy"], 2) for line in validations if line["split"] == "val"],
    }
    (ROOT / "benchmarks" / "results" / "vqa.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
