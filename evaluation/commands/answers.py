"""`heed evaluate answers`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class EvaluateAnswers:
    """Judge answers to questions about images: soft accuracy against ten people's answers, and ANLS.

    Intervals are resampled by image.
    """

    # The answers: the VQA challenge's results format, [{"question_id", "answer"}].
    predictions: Path
    # The people's answers: VQA's annotations format.
    truth: Path
    # Whose normalisation and rules: VQA v2's or TextVQA's.
    protocol: Literal["vqa", "text-vqa"] = "vqa"
    # Judge only the questions that have a result.
    subset: bool = False
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.answers import evaluate_answers
        from evaluation.table import print_figures

        found = evaluate_answers(self.predictions, self.truth, self.protocol, self.resamples, subset=self.subset)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_figures(f"Answers to {found['questions']:,} questions, percent", found["figures"], found["notes"],
                          "image")
        return 0
