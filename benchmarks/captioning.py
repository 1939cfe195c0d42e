"""Captions of scenes videos, with and without masks: python -m benchmarks.captioning FOLDER [MASK …]

Renders 600 videos in FOLDER, extracts what is seen and heard in their clips, and trains each MASK of none, lam,
lam-multi, control and sparse (SwinBERT's) once, none alone if no other is named. What is in FOLDER already is gone on
with. Writes benchmarks/results/captioning.json: the figures of coco-caption on the test split with 95 % intervals,
resampled by video, and each training's core minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.recipes import heed, told, train, write

RECIPE = ("--epochs 60 --batch-size 64 --lr 1e-3 --warmup 100 --ema 0.99 --features standard --model.dim 128 "
          "--model.heads 4 --model.feedforward 256 --model.layers 2 --model.video-dim 0 --model.max-clips 12 "
          "--model.input-dropout 0.3 --writing.beams 4 --writing.longest 24 --validate-every 10 --device cpu")
MASKS = {name: ("--mask.mask", name) for name in ("none", "lam", "lam-multi", "control")}
MASKS["sparse"] = ("--model.sparse-mask", "soft")


def main(folder: Path, masks: list[str]) -> None:
    scenes, objects, sound = (folder / name for name in ("scenes", "objects", "sound"))
    heed("scenes", scenes, "--images", 0, "--videos", 600)
    heed("extract", "clips", scenes / "videos", objects, "--encoder", "scenes:objects", "--inline")
    heed("extract", "sound", scenes / "videos", sound, "--encoder", "logmel:64", "--inline")
    for mask in masks:
        train("captioning", folder / mask, "--video", objects, sound, "--captions", scenes, *MASKS[mask],
              *RECIPE.split())
    write("captioning", {"recipe": RECIPE, "runs": {mask: told(folder / mask, "images", "figures") for mask in masks}})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["none"])
