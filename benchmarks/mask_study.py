"""Is the learnable mask worth it? None, one mask, a mask a layer, and as many weights without a mask; five seeds each.

    python -m benchmarks.mask_study FOLDER [--task classification|moments] [--seeds 5] [--first-seed 0] [--train-only]

Renders the task's scenes in FOLDER, trains every variant with `heed sweep` (a trial at a time in this process), and
writes benchmarks/results/mask_study/TASK/ and the tables of docs/lam.md. Run again, it goes on where it was stopped;
two of them with other seeds may share a FOLDER, and a last one over all seeds makes the tables.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.recipes import ROOT, filmed, heed, publish

VARIANTS = "mask.mask=none,lam,lam-multi,control"
OPTIONS = {
    "classification": (
        "--epochs 4 --batch-size 64 --lr 1e-3 --warmup 40 --ema 0 --clip 1 --weight-decay 0.01 --model.size 64 "
        "--model.patch 8 --model.dim 64 --model.depth 3 --model.heads 4 --model.drop-path 0 --augment.crop 0.5 "
        "--augment.erase 0 --augment.mixup 0 --augment.cutmix 0 --validate-every 4 --device cpu"),
    "moments": (
        "--model.name qd-detr --epochs 8 --lr 1e-3 --schedule cosine --warmup 50 --features standard --model.dim 64 "
        "--model.heads 4 --model.feedforward 128 --model.queries 5 --model.max-clips 12 --model.input-dropout 0.2 "
        "--validate-every 8 --device cpu"),
}


def data(task: str, folder: Path) -> list[str]:
    """Scenes and what is extracted from them; the options that name them."""
    if task == "classification":
        heed("scenes", folder / "scenes", "--images", 2000)
        return ["--images", str(folder / "scenes"), "--augment.policy", ""]
    scenes, *stores = filmed(folder, 600)
    return ["--video", *map(str, stores), "--moments", str(scenes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", choices=sorted(OPTIONS), default="classification")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--train-only", action="store_true", help="leave the published tables as they are")
    chosen = parser.parse_args()
    folder = chosen.folder / chosen.task
    heed("sweep", chosen.task, "--vary", VARIANTS, "--seeds", chosen.seeds, "--seed", chosen.first_seed, "--inline",
         "--out", folder / "sweep", *data(chosen.task, folder), *OPTIONS[chosen.task].split())
    if not chosen.train_only:
        publish(folder / "sweep", f"mask_study/{chosen.task}", ROOT / "docs" / "lam.md", chosen.task)


if __name__ == "__main__":
    main()
