"""AttnGAN on scenes: does a painted picture hold what its caption names?

    python -m benchmarks.generation [FOLDER] [--damsm RUN]

Renders 5,000 scenes of one or two objects at 64 pixels in FOLDER (default: a new one), trains DAMSM and AttnGAN on them
with the recipe of docs/generation.md, paints a picture for each of the 500 test scenes' captions, and looks for the
named objects with the scenes detector; the same on the real pictures, which is as well as that detector can do. What is
in FOLDER already is gone on with. Writes results/generation.json and docs/generation.png.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
READING = ["--no-crop", "--no-flip"]
DAMSM = ["--size", "64", "--model.image-encoder", "small", "--model.embed-dim", "64", "--model.word-dim", "64",
         "--model.width", "16", "--model.dropout", "0.2", "--epochs", "10", "--batch-size", "32",
         "--validate-every", "2"]
ATTNGAN = ["--model.base-size", "32", "--model.stages", "2", "--model.gf-dim", "8", "--model.df-dim", "8",
           "--model.z-dim", "16", "--model.condition-dim", "32", "--model.residuals", "1", "--guidance", "1",
           "--judges-rate", "0.3", "--epochs", "12", "--batch-size", "16", "--lr", "1.5e-3", "--schedule", "linear",
           "--ema", "0.995", "--validate-every", "2"]


def heed(*words: str) -> float:
    """Run a command with one thread; its seconds of CPU time."""
    before = os.times()
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "heed", *words], check=True, env={**os.environ, **threads})
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


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


def main(folder: Path, damsm: Path | None) -> None:
    scenes, run = folder / "few", folder / "attngan"
    heed("scenes", str(scenes), "--images", "5000", "--flavour", "few", "--size", "64")
    seconds = {"damsm": 0.0}
    if damsm is None:
        damsm = folder / "damsm"
        seconds["damsm"] = heed("train", "damsm", "--captions", str(scenes), "--out", str(damsm), *READING, *DAMSM)
    seconds["attngan"] = heed("train", "generation", "--captions", str(scenes), "--damsm", str(damsm),
                              "--out", str(run), *READING, *ATTNGAN)
    painted = run / "predictions" / "test.json"
    judged = json.loads((run / "evaluation" / "test.json").read_text())
    result = {
        "pictures": judged["pictures"], "painted": judged["figures"], "real": real_pictures(scenes, painted),
        "damsm": json.loads((damsm / "evaluation" / "test.json").read_text())["retrieval"]["t2i_r10"],
        "minutes of one core, with reading and judging": {name: round(s / 60, 1) for name, s in seconds.items()},
        "recipe": {"damsm": " ".join(READING + DAMSM), "attngan": " ".join(READING + ATTNGAN)},
        "captions": json.loads(painted.read_text())["pictures"][:8],
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs", "date": time.strftime("%Y-%m-%d"),
    }
    (ROOT / "benchmarks" / "results" / "generation.json").write_text(json.dumps(result, indent=1) + "\n")
    sheet(painted, ROOT / "docs" / "generation.png")
    print(json.dumps({name: result[name] for name in ("painted", "real")}, indent=1))


if __name__ == "__main__":
    words = sys.argv[1:]
    guide = Path(words.pop(words.index("--damsm") + 1)) if "--damsm" in words else None
    words = [word for word in words if word != "--damsm"]
    if words:
        main(Path(words[0]), guide)
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name), guide)
