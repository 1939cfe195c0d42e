"""`heed evaluate text-vqa`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluateTextVqa:
    """Judge answers about words in images: soft accuracy, ANLS, copied words, and where the decoder looked.

    The attention is read from PREDICTIONS' .attention.arrow where that is beside it. Figures are percent, with 95 %
    intervals resampled by image.
    """

    # The answers: TextVQA's submission format, [{"question_id", "answer"}] (RUN/predictions/SPLIT.json).
    predictions: Path
    # The questions: SPLIT.truth.jsonl beside the predictions, a scenes folder, or an imdb file or a folder of them.
    truth: Path
    # Which part of the truth was predicted.
    split: str = "test"
    # Judge only the questions that have a result.
    subset: bool = False
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.question_truth import read_question_truth
        from evaluation.run_folder import TRUTH_SUFFIX
        from evaluation.table import print_figures
        from evaluation.text_vqa import evaluate_text_vqa
        from pipeline.annotations import Question
        from pipeline.datasets import read_text_questions

        if self.truth.name.endswith(TRUTH_SUFFIX):
            questions = read_question_truth(self.truth)
        else:
            questions = [Question(asked.id, asked.key, asked.text, asked.answers, asked.kind, asked.boxes)
                         for asked in read_text_questions(self.truth, self.split)]
        found = evaluate_text_vqa(self.predictions, questions, self.resamples, subset=self.subset)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_figures(f"Answers to {found['questions']:,} questions, percent", found["figures"], found["notes"],
                          "image")
        return 0
