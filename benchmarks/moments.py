"""Moments in scenes videos, with and without the learnable mask: python -m benchmarks.moments FOLDER [MASK …]

Renders 600 videos in FOLDER, extracts what is seen and heard in their clips, and trains each MASK of none, lam,
lam-multi and control once, none alone if no other is named. What is in FOLDER already is gone on with. Writes
benchmarks/results/moments.json: the official figures on the test split with 95 % intervals, resampled by video, and
each training's core minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.recipes import compared, filmed, write

RECIPE = ("--model.name qd-detr --epochs 24 --lr 1e-3 --schedule cosine --warmup 50 --features standard "
          "--model.dim 128 --model.heads 4 --model.feedforward 256 --model.queries 5 --model.max-clips 12 "
          "--model.input-dropout 0.2 --validate-every 4 --device cpu")


def main(folder: Path, masks: list[str]) -> None:
    scenes, *stores = filmed(folder, 600)
    data = ("--video", *stores, "--moments", scenes)
    write("moments", compared("moments", folder, masks, RECIPE, data, "queries", "figures"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["none"])
