"""`heed evaluate matching`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class EvaluateMatching:
    """Judge a matching model by its predictions file alone: retrieval, and attention against truth.

    Every figure comes with a 95 % interval, resampled by image.
    """

    # The Arrow file of predictions (RUN/predictions/SPLIT.arrow).
    predictions: Path
    # The captions it was made from: a scenes folder, a captions file, or the SPLIT.truth.jsonl beside the predictions.
    truth: Path
    # Which part of the truth was predicted.
    split: str = "test"
    # Format of the truth, where it cannot be told from the files.
    format: str | None = None
    # Share of images held out, where the truth has no splits of its own; as in training.
    holdout: float = 0.2
    # Rank among all images and captions, or in COCO's folds of 1,000 images, averaged.
    protocol: Literal["all", "1k"] = "all"
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.matching import evaluate_matching
        from evaluation.run_folder import TRUTH_SUFFIX

        if self.truth.name.endswith(TRUTH_SUFFIX):
            from evaluation.truth import read_truth

            captions = read_truth(self.truth)
        else:
            from pipeline.datasets import read_captions

            captions = read_captions(self.truth, self.split, format=self.format, holdout=self.holdout)
        found = evaluate_matching(self.predictions, captions, self.protocol, self.resamples)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            from evaluation.table import print_matching

            print_matching(found)
        return 0
