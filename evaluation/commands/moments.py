"""`heed evaluate moments`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluateMoments:
    """Judge a QVHighlights submission: moment retrieval and highlights, as the official evaluator does.

    Every figure comes with a 95 % interval, resampled by video.
    """

    # The submission: JSON lines with qid, pred_relevant_windows and pred_saliency_scores.
    predictions: Path
    # The annotations, in the format of highlight_val_release.jsonl.
    truth: Path
    # Judge the queries that both files have, where they do not hold the same.
    subset: bool = False
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print the official evaluator's JSON, rounded as it rounds.
    official: bool = False
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.moments import evaluate_moments
        from evaluation.table import print_figures

        found = evaluate_moments(self.predictions, self.truth, self.resamples, subset=self.subset)
        if self.official or self.json:
            print(json.dumps(found["official"] if self.official else found, indent=1, ensure_ascii=False))
        else:
            shown = {name: found["figures"][name] for name in found["official"]["brief"]}
            print_figures(f"Moments: {found['queries']:,} queries", shown, found["notes"], "video")
        return 0
