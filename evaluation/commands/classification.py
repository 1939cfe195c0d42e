"""`heed evaluate classification`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluateClassification:
    """Judge an image classifier by its predictions file: top-1, top-5, and each class.

    Every figure comes with a 95 % interval, resampled by image.
    """

    # JSON lines {"image", "classes"}, likeliest class first (RUN/predictions/SPLIT.jsonl).
    predictions: Path
    # JSON lines {"image", "label"} (RUN/predictions/SPLIT.truth.jsonl).
    truth: Path
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.classification import evaluate_classification, print_classification

        found = evaluate_classification(self.predictions, self.truth, self.resamples)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_classification(found)
        return 0
