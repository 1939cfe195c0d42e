"""The figures of the demo that the README quotes.

    python -m benchmarks.demo [FOLDER]      runs `heed demo` in FOLDER (default: a new one); writes results/demo.json

and docs/attention.png, one of the figures that the demo draws.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
FIGURES = {"retrieval": ("t2i_r1", "i2t_r1", "rsum"), "attention": ("pointing", "uniform", "pointing_ratio")}
SAMPLE = "sample_09.png"


def main(folder: Path) -> None:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "heed", "demo", "--out", str(folder)], check=True)
    result: dict = {"minutes": round((time.monotonic() - began) / 60, 1), "cpus": os.cpu_count(), "runs": {}}
    for path in sorted((folder / "runs").iterdir()):
        found = json.loads((path / "evaluation" / "test.json").read_text())
        result["runs"][path.name] = {
            "images": found["images"], "captions": found["captions"],
            **{name: found[part][name] for part, names in FIGURES.items() for name in names},
        }
    (ROOT / "benchmarks" / "results" / "demo.json").write_text(json.dumps(result, indent=1) + "\n")
    picture = Image.open(folder / "report" / SAMPLE).convert("RGB")
    picture = picture.resize((1600, round(1600 * picture.height / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(200, dither=Image.Dither.NONE).save(ROOT / "docs" / "attention.png", optimize=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name) / "demo")
