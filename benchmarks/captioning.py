"""Captions of scenes videos, with and without masks: python -m benchmarks.captioning FOLDER [MASK …]

Renders 600 videos in FOLDER, extracts what is seen and heard in their clips, and trains each MASK of none, lam,
lam-multi, control and sparse (SwinBERT's) once, none alone if no other is named. What is in FOLDER already is gone on
with. Writes benchmarks/results/captioning.json: the figures of coco-caption on the test split with 95 % intervals,
resampled by video, and each training's core minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.recipes import compared, filmed, write

RECIPE = ("--epochs 14 --batch-size 32 --lr 1e-3 --warmup 200 --ema 0.99 --features standard --training.objective next "
          "--model.dim 128 --model.heads 4 --model.feedforward 256 --model.layers 3 --model.video-dim 0 "
          "--model.max-clips 12 --model.parts 7 --model.input-dropout 0.1 --writing.samples 60 "
          "--writing.temperature 0.7 --writing.longest 24 --validate-every 7 --device cpu")
"""Chosen by the validation videos' CIDEr, among some twenty."""


def main(folder: Path, masks: list[str]) -> None:
    scenes, *stores = filmed(folder, 600)
    data = ("--video", *stores, "--captions", scenes)
    write("captioning", compared("captioning", folder, masks, RECIPE, data, "images", "figures"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["none"])
