"""Moments in scenes videos, with and without the learnable mask: python -m benchmarks.moments SCENES FOLDER [MASK …]

SCENES is a folder of `heed scenes --videos 600`; stores and runs go to FOLDER, and an interrupted benchmark goes on
where it stopped. Writes benchmarks/results/moments.json: the official figures on the test split with 95 % intervals,
resampled by video, and each training's CPU minutes. Every MASK of none, lam, lam-multi and control is trained once;
none alone if no other is named.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIGURES = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "MR-full-mAP@0.5", "MR-full-mAP@0.75",
           "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1")
RECIPE = ["--epochs", "30", "--lr", "1e-3", "--schedule", "cosine", "--warmup", "50", "--model.dim", "128",
          "--model.heads", "4", "--model.feedforward", "256", "--model.queries", "5", "--model.max-clips", "12",
          "--model.input-dropout", "0.2", "--validate-every", "3", "--device", "cpu"]


def heed(*words: object) -> float:
    """Run a command of heed; gives the CPU minutes it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "heed", *map(str, words)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60


def main(scenes: Path, folder: Path, masks: list[str]) -> None:
    path = ROOT / "benchmarks" / "results" / "moments.json"
    objects, sound = folder / "objects", folder / "sound"
    heed("extract", "clips", scenes / "videos", objects, "--encoder", "scenes:objects", "--inline")
    heed("extract", "sound", scenes / "videos", sound, "--encoder", "logmel:64", "--inline")
    result: dict = json.loads(path.read_text()) if path.exists() else {"recipe": " ".join(RECIPE), "runs": {}}
    for mask in masks:
        run = folder / "runs" / mask
        minutes = heed("train", "moments", "--video", objects, sound, "--moments", scenes, "--out", run, "--mask.mask",
                       mask, *RECIPE)
        found = json.loads((run / "evaluation" / "test.json").read_text())
        result["runs"][mask] = {"queries": found["queries"], "cpu_minutes": round(minutes, 1),
                                "figures": {name: found["figures"][name] for name in FIGURES}}
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ["none"])
