"""`heed evaluate vqa`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluateVqa:
    """Judge answers to questions about images by their file alone, and what was attended to at every step for them.

    Accuracy is by exact match, or VQA's soft accuracy where several people have answered. Every figure comes with a
    95 % interval, resampled by image.
    """

    # The answers: a VQA results file (RUN/predictions/SPLIT.json).
    predictions: Path
    # The questions: a scenes folder, CLEVR's or VQA's files, or the SPLIT.truth.jsonl beside the predictions.
    truth: Path
    # Which part of the truth was predicted.
    split: str = "test"
    # Format of the truth, where it cannot be told from the files.
    format: str | None = None
    # Attention of every step; where not named, the SPLIT.attention.arrow beside the predictions, if there is one.
    attention: Path | None = None
    # Draw what was attended to, step by step, into this folder, a picture a question.
    figures: Path | None = None
    # Folder of the photos, for --figures.
    images: Path | None = None
    # How many pictures.
    count: int = 12
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.question_truth import read_question_truth
        from evaluation.run_folder import TRUTH_SUFFIX, attention_path
        from evaluation.vqa import evaluate_vqa
        from features.errors import HeedError

        if self.truth.name.endswith(TRUTH_SUFFIX):
            questions = read_question_truth(self.truth)
        else:
            from pipeline.datasets import read_questions

            questions = read_questions(self.truth, self.split, self.format)
        beside = attention_path(self.predictions)
        attention = self.attention or (beside if beside.exists() else None)
        found = evaluate_vqa(self.predictions, questions, attention, self.resamples)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            from evaluation.table import print_vqa

            print_vqa(found)
        if self.figures is not None:
            from evaluation.report.steps import write_step_figures

            if attention is None:
                raise HeedError(f"There is no attention to draw: {beside} does not exist. Name a file as --attention.")
            drawn = write_step_figures(self.predictions, questions, attention, self.figures, self.images, self.count)
            print(f"{len(drawn)} pictures in {self.figures}.")
        return 0
