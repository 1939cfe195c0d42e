"""Tell the setting of a scene with a small ViT, with and without the learnable attention mask.

    python -m benchmarks.classification SCENES RUNS [none|lam|lam-multi|control …]

SCENES is made by `heed scenes SCENES --images 5000`: of ten pictures eight train, one validates, one tests. RUNS/MASK
become runs; one that is finished is read and not trained again. Set OMP_NUM_THREADS=1. Writes
benchmarks/results/classification.json.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from heed import main as heed

RECIPE = ("--epochs 8 --batch-size 64 --lr 1e-3 --warmup 60 --ema 0 --clip 1 --weight-decay 0.01 --model.size 64 "
          "--model.patch 8 --model.dim 96 --model.depth 4 --model.heads 4 --model.drop-path 0 --augment.crop 0.5 "
          "--augment.erase 0 --augment.mixup 0 --augment.cutmix 0")
RESULT = Path(__file__).parent / "results" / "classification.json"
SPENT = "core_seconds.json"


def train(mask: str, scenes: str, runs: Path) -> None:
    """One run; the processor's time is added up over interruptions."""
    run = runs / mask
    if (run / "evaluation" / "test.json").exists():
        return
    before = json.loads((run / SPENT).read_text()) if (run / SPENT).exists() else 0.0
    start = time.process_time()
    try:
        status = heed(["train", "classification", "--images", scenes, "--out", str(run), "--device", "cpu",
                       *RECIPE.split(), "--augment.policy", "", "--mask.mask", mask])
    finally:
        if run.exists():
            (run / SPENT).write_text(json.dumps(before + time.process_time() - start))
    if status:
        raise SystemExit(status)


def main(scenes: str, runs: str, *masks: str) -> None:
    """Train, and write what came out of all runs there are."""
    for mask in masks or ("none", "lam"):
        train(mask, scenes, Path(runs))
    finished = sorted(path.parent.parent for path in Path(runs).glob("*/evaluation/test.json"))
    found = {run.name: {
        "recipe": RECIPE, "core_minutes": round(json.loads((run / SPENT).read_text()) / 60, 1),
        "figures": json.loads((run / "evaluation" / "test.json").read_text())["figures"]} for run in finished}
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    for name, result in found.items():
        print(name, result["core_minutes"], "core minutes", result["figures"]["top1"])


if __name__ == "__main__":
    main(*sys.argv[1:])
