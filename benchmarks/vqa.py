"""MAC on the scenes questions of ten answers, from nothing to figures with intervals: python -m benchmarks.vqa FOLDER

Renders 10,000 scenes in FOLDER, extracts their regions, and trains MAC in one thread; what is in FOLDER already is gone
on with. Writes benchmarks/results/vqa.json: accuracy on the images that were never trained on, by kind of question, and
where MAC's steps look, with 95 % intervals resampled by image; and the training's core minutes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.recipes import heed, told, train, write

IMAGES = 10000
RECIPE = (
    "--ten-answers --model.dim 128 --model.word-dim 64 --model.classifier 256 --model.output-product "
    "--model.drop-stem 0 --model.drop-read 0 --model.drop-words 0 --model.drop-question 0 --model.drop-memory 0 "
    "--model.drop-output 0 --batch-size 64 --lr 1.5e-3 --warmup 100 --epochs 28 --schedule cosine --ema 0.99 "
    "--device cpu"
)
"""The same as in docs/vqa.md and at the top of training/tasks/vqa.py."""


def main(folder: Path) -> None:
    scenes, store, run = (folder / name for name in ("scenes", "store", "mac"))
    heed("scenes", scenes, "--images", IMAGES)
    heed("extract", "regions", scenes / "images", store, "--detector", "scenes", "--boxes", 1, 16,
         "--score-threshold", 0.5, "--inline")
    train("vqa", run, "--store", store, "--questions", scenes, *RECIPE.split())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    write("vqa", {"recipe": RECIPE, **told(run, "questions", "images", "figures", "attention", "best_step"),
                  "validation": [round(line["accuracy"], 2) for line in lines if line["split"] == "val"]})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
