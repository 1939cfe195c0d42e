"""M4C on rendered signs, from nothing to figures with intervals: python -m benchmarks.text_vqa [FOLDER]

Writes benchmarks/results/text_vqa.json: soft accuracy, ANLS, how many answers copy a word of the image and how often
those are right, and where the decoder looks, on the 10 % of images that were never trained on, each with its 95 %
interval; and the CPU time of the training, which runs in one thread. FOLDER keeps everything; what is there already is
not made again.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = 4000
RECIPE = """
--model.hidden 64 --model.heads 4 --model.layers 2 --model.feedforward 128 --model.init-deviation 0.07
--model.text-hidden 64 --model.text-layers 1 --model.text-heads 4 --model.text-feedforward 128 --model.text-lr 1
--model.most-objects 8 --model.most-pieces 28 --model.steps 4 --model.dropout 0 --model.learned-words
--lr 2e-3 --batch-size 64 --epochs 14 --schedule cosine --warmup 100 --clip 1 --validate-every 2 --device cpu
"""
RESULT = Path(__file__).parent / "results" / "text_vqa.json"


def heed(*words: str | Path) -> float:
    """Run a command in one thread; give its CPU seconds, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "heed", *map(str, words)], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Everything, from rendering to the result file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        signs, listed, store, ocr = (folder / name for name in ("signs", "ocr.jsonl", "obj-store", "ocr-store"))
        heed("scenes", signs, "--images", str(IMAGES), "--flavour", "signs")
        heed("ocr-boxes", signs, signs / "images", listed)
        for source, made in ((signs / "images", store), (listed, ocr)):
            heed("extract", "regions", source, made, "--detector", "scenes", "--inline")
        out = folder / "m4c"
        seconds = heed("train", "text-vqa", "--store", store, "--ocr-store", ocr, "--questions", signs, "--out", out,
                       *RECIPE.split())
        found = json.loads((out / "evaluation" / "test.json").read_text(encoding="utf-8"))
    RESULT.write_text(json.dumps({
        "unit": "percent, [low, high] of 95 % intervals resampled by image", "images": IMAGES,
        "recipe": " ".join(RECIPE.split()), "test questions": found["questions"],
        "figures": {name: {key: value if key == "n" or value is None else round(value, 2)
                           for key, value in figure.items()} for name, figure in found["figures"].items()},
        "training, CPU seconds of one thread": round(seconds),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }, indent=1) + "\n", encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
