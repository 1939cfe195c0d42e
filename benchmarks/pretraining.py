"""Pre-train a small single-stream and a small two-stream model on scenes: what they learn, in how many core-minutes.

    python -m benchmarks.pretraining STORE SCENES RUNS [single|two …]

STORE holds the regions of SCENES by the scenes detector (heed scenes SCENES --images 5000; heed extract regions).
RUNS/single and RUNS/two become runs, and subjects for heed probe; one that is finished is read and not trained again.
Trained in one thread. Writes benchmarks/results/pretraining.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.recipes import told, train, write

RECIPE = ("--epochs 12 --batch-size 32 --lr 2e-3 --betas 0.9 0.98 --warmup 150 --schedule cosine "
          "--checkpoint-every 200 --validation-captions 200 --model.dropout 0 --model.width 64 --model.inner 256 "
          "--model.heads 4 --objectives.masking together --objectives.word-rate 0.4 --objectives.region-rate 0.15 "
          "--objectives.mismatched 0.4 --objectives.tell-shown --objectives.overlap 0.3 "
          "--objectives.weights 1 1 0.1 0.5")
MODELS = {
    "single": "--model.streams one --model.layers 3",
    "two": "--model.streams two --model.text-layers 1 --model.image-layers 1 --model.cross-layers 2",
}


def result(run: Path) -> dict[str, object]:
    """What a finished run's folder tells."""
    from evaluation.run_folder import read_run
    from evaluation.subjects import load_subject

    found = read_run(run)
    parameters = sum(p.numel() for p in load_subject(str(run)).model.parameters())  # type: ignore[attr-defined]
    return {
        "recipe": f"{RECIPE} {MODELS[run.name]}", "parameters": parameters,
        "core_minutes": told(run)["core_minutes"], "test": found.evaluations["test"],
        "validation": [{name: line[name] for name in ("epoch", "word_accuracy", "region_accuracy", "matching_accuracy")}
                       for line in found.metrics if line["split"] == "val"],
    }


def main(words: list[str]) -> None:
    """Train what is named, both by default, and write what is finished."""
    store, scenes, runs = words[0], words[1], Path(words[2])
    for name in words[3:] or MODELS:
        train("pretraining", runs / name, "--store", store, "--captions", scenes, *RECIPE.split(),
              *MODELS[name].split())
    done = [name for name in MODELS if (runs / name / "evaluation" / "test.json").exists()]
    write("pretraining", {name: result(runs / name) for name in done})


if __name__ == "__main__":
    main(sys.argv[1:])
