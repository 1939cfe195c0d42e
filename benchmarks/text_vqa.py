"""M4C on rendered signs, from nothing to figures with intervals: python -m benchmarks.text_vqa FOLDER

Renders 4,000 pictures of signs in FOLDER and trains M4C in one thread; what is in FOLDER already is gone on with.
Writes benchmarks/results/text_vqa.json: soft accuracy, ANLS, how many answers copy a word of the image and how often
those are right, and where the decoder looks, on the 10 % of images that were never trained on, each with its 95 %
interval resampled by image; and the training's core minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.recipes import heed, told, train, write

IMAGES = 4000
RECIPE = (
    "--model.hidden 64 --model.heads 4 --model.layers 2 --model.feedforward 128 --model.init-deviation 0.07 "
    "--model.text-hidden 64 --model.text-layers 1 --model.text-heads 4 --model.text-feedforward 128 --model.text-lr 1 "
    "--model.most-objects 8 --model.most-pieces 28 --model.steps 4 --model.dropout 0 --model.learned-words "
    "--lr 2e-3 --batch-size 64 --epochs 14 --schedule cosine --warmup 100 --clip 1 --validate-every 2 --device cpu"
)


def main(folder: Path) -> None:
    signs, listed, store, ocr, run = (folder / name for name in ("signs", "ocr.jsonl", "store", "ocr", "m4c"))
    heed("scenes", signs, "--images", IMAGES, "--flavour", "signs")
    heed("ocr-boxes", signs, signs / "images", listed)
    for source, made in ((signs / "images", store), (listed, ocr)):
        heed("extract", "regions", source, made, "--detector", "scenes", "--inline")
    train("text-vqa", run, "--store", store, "--ocr-store", ocr, "--questions", signs, *RECIPE.split())
    write("text_vqa", {"images": IMAGES, "recipe": RECIPE, **told(run, "questions", "figures")})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
