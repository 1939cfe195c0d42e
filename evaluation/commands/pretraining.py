"""`heed evaluate pretraining`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluatePretraining:
    """Judge a pre-trained model by its predictions file, which holds the truth: hidden words and regions, matching.

    Every figure comes with a 95 % interval, resampled by image.
    """

    # The predictions (RUN/predictions/SPLIT.jsonl).
    predictions: Path
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.pretraining import evaluate_pretraining
        from evaluation.table import print_figures

        found = evaluate_pretraining(self.predictions, self.resamples)
        if self.json:
            print(json.dumps(found, indent=1))
        else:
            print_figures(f"Pre-training: {found['captions']:,} captions of {found['images']:,} images, percent",
                          found["figures"], found["notes"], "image")
        return 0
