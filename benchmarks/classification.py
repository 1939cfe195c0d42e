"""Tell the setting of a scene with a small ViT, with and without the learnable mask.

    python -m benchmarks.classification FOLDER [none|lam|lam-multi|control …]

Renders 5,000 scenes in FOLDER, of ten pictures eight to train, one to validate, one to test, and trains each mask
once, none alone if no other is named. What is in FOLDER already is gone on with. Writes results/classification.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.recipes import compared, heed, write

RECIPE = ("--epochs 4 --batch-size 64 --lr 1e-3 --warmup 60 --ema 0 --clip 1 --weight-decay 0.01 --model.size 64 "
          "--model.patch 8 --model.dim 96 --model.depth 4 --model.heads 4 --model.drop-path 0 --augment.crop 0.5 "
          "--augment.erase 0 --augment.mixup 0 --augment.cutmix 0 --augment.policy '' --device cpu")


def main(folder: Path, masks: list[str]) -> None:
    heed("scenes", folder / "scenes", "--images", 5000)
    data = ("--images", folder / "scenes")
    write("classification", compared("classification", folder, masks, RECIPE, data, "figures"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["none"])
