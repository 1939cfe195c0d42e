"""AttnGAN on scenes: does a painted picture hold what its caption names?

    python -m benchmarks.generation FOLDER

Renders 5,000 scenes of one or two objects at 64 pixels in FOLDER, trains DAMSM and AttnGAN on them
with the recipe of docs/generation.md, paints a picture for each of the 500 test scenes' captions, and looks for the
named objects with the scenes detector; the same on the real pictures, which is as well as that detector can do. What is
in FOLDER already is gone on with. Writes results/generation.json and docs/generation.png.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.recipes import ROOT, heed, told, train, write

DAMSM = ("--no-crop --no-flip --size 64 --model.image-encoder small --model.embed-dim 64 --model.word-dim 64 "
         "--model.width 16 --model.dropout 0.2 --epochs 10 --batch-size 32 --validate-every 2 --device cpu")
ATTNGAN = ("--no-crop --no-flip --model.base-size 32 --model.stages 2 --model.gf-dim 8 --model.df-dim 8 "
           "--model.z-dim 16 --model.condition-dim 32 --model.residuals 1 --guidance 1 --judges-rate 0.3 --epochs 12 "
           "--batch-size 16 --lr 1.5e-3 --schedule linear --ema 0.995 --validate-every 2 --device cpu")


def real_pictures(scenes: Path, painted: Path) -> dict:
    """The figures of the real pictures of the painted ones' captions."""
    from evaluation.generated import Generated, GeneratedWriter
    from evaluation.generation import evaluate_generation
    from evaluation.truth import read_truth
    from features.images import decode_image
    from pipeline.annotations import Caption

    generated = Generated.read(painted)
    with tempfile.TemporaryDirectory() as name:
        with GeneratedWriter(Path(name) / "real.json") as writer:
            for place, (caption, key) in enumerate(zip(generated.ids, generated.keys, strict=True)):
                pixels = decode_image((scenes / "images" / key).read_bytes())
                writer.add(Caption(caption, key, generated.captions[place]), place, pixels, np.ones(2), np.ones(2))
        truth = read_truth(painted.with_name(f"{painted.stem}.truth.jsonl"))
        figures = evaluate_generation(Path(name) / "real.json", truth)["figures"]
    return {name: figures[name] for name in ("named_object", "named_colour", "named_shape", "chance")}


def sheet(painted: Path, out: Path, count: int = 8) -> None:
    """The first pictures, large, with their captions below in the order of the docs."""
    from evaluation.generated import Generated

    generated = Generated.read(painted)
    paper = Image.new("RGB", (count * 132 - 4, 128), "white")
    for place in range(count):
        picture = Image.fromarray(generated.pixels(place)).resize((128, 128), Image.Resampling.NEAREST)
        paper.paste(picture, (place * 132, 0))
    paper.save(out, optimize=True)


def main(folder: Path) -> None:
    scenes, damsm, run = (folder / name for name in ("few", "damsm", "attngan"))
    heed("scenes", scenes, "--images", 5000, "--flavour", "few", "--size", 64)
    train("damsm", damsm, "--captions", scenes, *DAMSM.split())
    train("generation", run, "--captions", scenes, "--damsm", damsm, *ATTNGAN.split())
    painted = run / "predictions" / "test.json"
    judged = told(run, "pictures", "figures")
    write("generation", {
        "recipe": {"damsm": DAMSM, "attngan": ATTNGAN}, "pictures": judged["pictures"], "painted": judged["figures"],
        "real": real_pictures(scenes, painted), "damsm": told(damsm, "retrieval")["retrieval"],
        "core_minutes": {"damsm": told(damsm)["core_minutes"], "attngan": judged["core_minutes"]},
        "captions": json.loads(painted.read_text())["pictures"][:8]})
    sheet(painted, ROOT / "docs" / "generation.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
